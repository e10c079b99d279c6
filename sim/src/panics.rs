//! An assertion of the broker that fails is a finding, not the end of the program.

use std::any::Any;
use std::cell::RefCell;
use std::panic;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic prints nothing; what it said can be asked for by the thread that caught it.
pub fn keep_quiet() {
    panic::set_hook(Box::new(|info| {
        LAST.with(|last| *last.borrow_mut() = Some(info.to_string()));
    }));
}

/// What a caught panic said.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let kept = LAST.with(|last| last.borrow_mut().take());
    kept.or_else(|| payload.downcast_ref::<String>().cloned())
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}
