# What rust-package.mk of OpenWrt's packages feed gives to a Makefile of a package, as far as ours uses it.
CARGO_RUSTFLAGS+=-Ctarget-feature=-crt-static
CARGO_PKG_VARS=RUSTFLAGS="$(CARGO_RUSTFLAGS)"
define RustBinPackage
endef
