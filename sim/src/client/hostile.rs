//! A hostile client: it sends what no client should, and the broker must neither fall nor answer anybody else wrongly.

use super::{Hands, Wire};
use crate::frame::Request;
use crate::stage::Nanos;
use bytes::{BufMut, Bytes, BytesMut};

#[derive(Debug)]
pub(super) struct Hostile {
    pause: Nanos,
    next_at: Nanos,
    /// What was sent on this connection cannot be answered any more; it is abandoned after a while.
    spoilt: bool,
}

impl Hostile {
    pub(super) fn new(pause: Nanos) -> Self {
        Self {
            pause,
            next_at: 0,
            spoilt: false,
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    pub(super) fn connected(&mut self) {
        self.spoilt = false;
    }

    /// Something came back: to garbage that happened to read as a request.
    pub(super) fn answered(wire: &mut Wire) {
        wire.answers += 1;
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if now < self.next_at || !hands.working {
            self.next_at = self.next_at.max(now + self.pause);
            return;
        }
        self.next_at = now + hands.stage.draw.within(1, self.pause);
        if self.spoilt && hands.stage.draw.chance(1, 2) {
            wire.hang_up(hands);
            return;
        }
        self.spoilt = true;
        hands.oracle.counts.hostile_frames += 1;
        let bytes = spoil(wire, hands);
        wire.send_raw(hands, &bytes);
    }
}

/// Bytes that are not a request, in one of many ways.
fn spoil(wire: &Wire, hands: &mut Hands<'_>) -> Bytes {
    let draw = &mut hands.stage.draw;
    let kind = draw.below(7);
    let mut bytes = BytesMut::new();
    match kind {
        // A frame that claims far more than any may have.
        0 => bytes.put_i32(draw.pick(&[i32::MAX, 104_857_601, 1 << 30])),
        1 => bytes.put_i32(draw.pick(&[-1, i32::MIN, 0, 3])),
        // Noise in a frame.
        2 => {
            let length = draw.spread(1, 300);
            bytes.put_i32(length as i32);
            (0..length).for_each(|_| bytes.put_u8(draw.below(256) as u8));
        }
        // An API or version that nobody serves.
        3 => {
            bytes.put_i32(10);
            bytes.put_i16(draw.pick(&[999, 4, -1, 0, 1]));
            bytes.put_i16(draw.pick(&[-1, 99, 1]));
            bytes.put_i32(7);
            bytes.put_i16(-1);
        }
        // A whole request cut short, or with bytes changed.
        _ => {
            let topics = vec!["topic-0".to_owned()];
            let request = Request::Metadata { topics };
            let version = request.version(&wire.plan.versions);
            let frame = wire.plan.codec.encode(1, "hostile", &request, version);
            bytes.put_slice(&frame);
            if kind == 4 {
                let keep = draw.within(4, bytes.len() as u64 - 1) as usize;
                bytes.truncate(keep);
                let length = (keep - 4) as i32;
                bytes[..4].copy_from_slice(&length.to_be_bytes());
            } else {
                // Not the API key: the request must stay one that changes nothing.
                for _ in 0..draw.within(1, 4) {
                    let at = draw.within(6, bytes.len() as u64 - 1) as usize;
                    bytes[at] = draw.below(256) as u8;
                }
            }
        }
    }
    bytes.freeze()
}
