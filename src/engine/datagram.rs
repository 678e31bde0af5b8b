//! UDP: which protocol a datagram is, and who answers it.
