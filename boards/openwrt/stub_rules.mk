# What rules.mk of OpenWrt gives to a Makefile of a package, as far as ours uses it, and the rest of the SDK: `all` says
# how cargo would be called, and makes OUT/source and OUT/root.
INCLUDE_DIR:=$(TOPDIR)/include
PKG_BUILD_DIR:=$(OUT)/source
PKG_INSTALL_DIR:=$(OUT)/built
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_CONF:=install -m0600
INSTALL_DATA:=install -m0644
CP:=cp -fpR

define BuildPackage
all:
	$$(call Build/Prepare)
	@echo version $$(PKG_VERSION)
	@echo cargo '$$(CARGO_PKG_VARS)'
	$$(call Package/$(1)/install,$$(OUT)/root)
endef
