//! What walks have in common: requests in drawn order over two connections, each API's versions in turn.
//!
//! Invariant: all walks of a scenario share its draws, so what one sends follows from the seed and the walks before it.

use super::Turns;
use crate::draw::Draw;
use crate::peer::{Line, Peer};
use serde_json::Value as Json;

/// What a walk goes on with.
pub(super) struct Way<'a> {
    pub(super) peer: &'a mut Peer,
    pub(super) draw: &'a mut Draw,
    pub(super) turns: &'a mut Turns,
    pub(super) lines: [Line; 2],
    /// Which walk of its scenario it is.
    pub(super) number: usize,
}

/// Has each walk of a scenario made, one after the other.
pub(super) fn each(peer: &mut Peer, count: usize, mut walk: impl FnMut(Way<'_>)) {
    let mut draw = peer.draw();
    let mut turns = Turns::default();
    for number in 0..count {
        let lines = [(); 2].map(|()| peer.connect());
        walk(Way {
            peer,
            draw: &mut draw,
            turns: &mut turns,
            lines,
            number,
        });
    }
}

impl Way<'_> {
    /// A topic of this walk alone: its name and id.
    pub(super) fn topic(&mut self, partitions: usize) -> (String, Json) {
        let name = self.peer.topic(&self.number.to_string(), partitions as i32, &[]);
        let id = self.peer.topic_id(&name);
        (name, id)
    }

    /// Names what is sent next.
    pub(super) fn at(&mut self, step: usize) {
        self.peer.note(format!("{}, {step}", self.number));
    }

    /// Sends a request in the next version of its API; the version, and the answer.
    pub(super) fn call(&mut self, api: &'static str, body: &Json) -> (i16, Json) {
        let version = self.turns.next(api);
        (version, self.call_as(api, version, body))
    }

    /// Sends a request in this version.
    pub(super) fn call_as(&mut self, api: &'static str, version: i16, body: &Json) -> Json {
        let line = *self.draw.pick(&self.lines);
        self.peer.call(line, api, version, body)
    }
}
