//! End-to-end tests of Klamm with real clients.
