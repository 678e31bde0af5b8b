//! JSON over UDP.
