//! What threads meet at. The hand-over between threads (`inbox`, `bell`, `disk::queue`) names it by this module only, so
//! that a test puts a checker's in its place.

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current};
