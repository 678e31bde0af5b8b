//! What programs that use a server need: so far the solver of its challenges.

pub mod pow;
