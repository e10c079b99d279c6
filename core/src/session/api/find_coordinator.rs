//! FindCoordinator: who coordinates a group or a transactional id. This broker coordinates neither yet, and says so.

use super::Progress;
use crate::session::Call;
use crate::types::ErrorCode;
use crate::wire::Text;
use crate::wire::message::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use alloc::collections::BTreeSet;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) fn answer(request: &FindCoordinatorRequest, call: &Call<'_, '_>) -> Progress {
    let (code, message) = match request.key_type {
        GROUP => (
            ErrorCode::CoordinatorNotAvailable,
            "This broker does not serve consumer groups.",
        ),
        // Not retriable: a transactional producer must fail at once, before it writes anything (see `produce`).
        TRANSACTION => (ErrorCode::InvalidRequest, "This broker does not serve transactions."),
        _ => (
            ErrorCode::InvalidRequest,
            "The key type is unknown; allowed are 0 (group) and 1 (transaction).",
        ),
    };
    let coordinator = |key: &Text| Coordinator {
        key: key.clone(),
        node_id: -1,
        host: Text::default(),
        port: -1,
        error_code: code.code(),
        error_message: Some(Text::from(message)),
    };
    if call.header.version >= 4 {
        // Each key is answered once, however often it is named: a small request must not ask for a huge answer.
        let mut named = BTreeSet::new();
        let keys = request.coordinator_keys.iter();
        let coordinators = keys.filter(|key| named.insert(key.as_str())).map(coordinator).collect();
        return call.respond(&FindCoordinatorResponse {
            coordinators,
            ..FindCoordinatorResponse::default()
        });
    }
    call.respond(&FindCoordinatorResponse {
        error_code: code.code(),
        error_message: Some(Text::from(message)),
        node_id: -1,
        port: -1,
        ..FindCoordinatorResponse::default()
    })
}
