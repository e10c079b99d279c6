//! World, the deterministic simulator of whole Klamm brokers.
