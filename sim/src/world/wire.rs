//! The driver's side of connections: frames as far as they were granted, responses in the order emitted.

use super::process::{Outgoing, Peer, Process};
use super::{Event, World};
use crate::link::{End, LinkId};
use crate::stage::Nanos;
use bytes::{Bytes, BytesMut};
use klamm_core::shard::Input;
use klamm_core::storage::{FileOp, IoValue};
use klamm_core::types::{Broken, ConnectionId, Content, Flaw, ListenerName, Origin, Part};
use std::ops::Range;

/// `socket.request.max.bytes` of the simulated driver.
const LARGEST_FRAME: usize = 1 << 20;

impl World {
    /// A client's connection reaches the broker.
    pub(super) fn accept(&mut self, link: LinkId) {
        let serving = self.process.as_ref().is_some_and(Process::is_serving);
        if !serving {
            self.links
                .close(&mut self.stage, &self.options.delays, link, End::Broker);
            return;
        }
        if !self.links.broker_open(link) {
            return;
        }
        let shard = self.stage.draw.index(usize::from(self.options.shards));
        if let Some(process) = &mut self.process {
            let peer = Peer {
                shard,
                ..Peer::default()
            };
            process.peers.insert(link, peer);
        }
        let connection = ConnectionId(link.0);
        let peer = format!("simulated:{}", link.0);
        let input = Input::Connected {
            connection,
            peer,
            listener: ListenerName::default(),
        };
        self.deliver(shard, input);
    }

    /// Bytes reach an end.
    pub(super) fn arrive(&mut self, link: LinkId, to: End, bytes: &Bytes) {
        let admitted = self.links.admit(link, to, bytes.len());
        let bytes = &bytes[..admitted];
        if bytes.is_empty() {
            return;
        }
        match to {
            End::Client => {
                let stale = self.links.incarnation(link) != Some(self.incarnation) || self.process.is_none();
                self.oracle.set_stale(stale);
                if let Some(client) = self.links.client(link) {
                    self.with_client(client, |client, hands| client.receive(hands, link, bytes));
                }
                self.oracle.set_stale(false);
            }
            End::Broker => {
                if let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) {
                    peer.received.extend_from_slice(bytes);
                    self.pump(link);
                }
            }
        }
    }

    /// The broker takes more frames of the connection.
    pub(super) fn grant(&mut self, link: LinkId, frames: u32) {
        if let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) {
            peer.granted += frames;
            self.pump(link);
        }
    }

    /// Hands on whole frames, as far as they were granted.
    fn pump(&mut self, link: LinkId) {
        while let Some(process) = &mut self.process {
            let Some(peer) = process.peers.get_mut(&link) else {
                return;
            };
            if peer.granted == 0 || peer.closing || peer.gone {
                return;
            }
            let Some(prefix) = peer.received.first_chunk::<4>() else {
                return;
            };
            let length = i32::from_be_bytes(*prefix);
            let Some(length) = usize::try_from(length).ok().filter(|&length| length <= LARGEST_FRAME) else {
                self.report.refused_frames += 1;
                self.drop_peer(link);
                return;
            };
            if peer.received.len() < 4 + length {
                return;
            }
            let frame = peer.received.split_to(4 + length).split_off(4).freeze();
            peer.granted -= 1;
            process.frames += 1;
            let shard = peer.shard;
            let connection = ConnectionId(link.0);
            self.deliver(shard, Input::Frame { connection, frame });
        }
    }

    /// An end learns that the connection is gone.
    pub(super) fn broken(&mut self, link: LinkId, end: End) {
        match end {
            End::Client => {
                let client = self.links.client(link);
                if self.links.broken(link, End::Client)
                    && let Some(client) = client
                {
                    self.with_client(client, |client, hands| client.broken(hands, link));
                }
            }
            End::Broker => {
                if self.links.broken(link, End::Broker) {
                    self.peer_gone(link);
                }
            }
        }
    }

    /// The broker closes the connection.
    pub(super) fn drop_peer(&mut self, link: LinkId) {
        self.note_fault(&|| format!("the driver closes connection {}", link.0));
        self.links
            .close(&mut self.stage, &self.options.delays, link, End::Broker);
        self.peer_gone(link);
    }

    /// Tells the shard, once, and completes what was to be sent.
    fn peer_gone(&mut self, link: LinkId) {
        self.oracle.forget_link(link);
        let Some(peer) = self.process.as_mut().and_then(|process| process.peers.remove(&link)) else {
            return;
        };
        let connection = ConnectionId(link.0);
        self.deliver(peer.shard, Input::Disconnected { connection });
        for outgoing in peer.outgoing {
            let at = self.sent_at();
            self.deliver_at(at, peer.shard, Input::Sent { op: outgoing.op });
        }
    }

    fn sent_at(&mut self) -> Nanos {
        let delays = self.options.delays.shard;
        self.stage.now() + self.stage.draw.within(delays.0, delays.1)
    }

    /// A response waits for its turn on the connection.
    pub(super) fn enqueue_response(&mut self, shard: usize, link: LinkId, outgoing: Outgoing) {
        let Some(process) = &mut self.process else { return };
        if let Some(peer) = process.peers.get_mut(&link) {
            peer.outgoing.push_back(outgoing);
            self.want_response(link);
        } else {
            let at = self.sent_at();
            self.deliver_at(at, shard, Input::Sent { op: outgoing.op });
        }
    }

    fn want_response(&mut self, link: LinkId) {
        let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) else {
            return;
        };
        if peer.outgoing.is_empty() {
            if peer.closing {
                self.drop_peer(link);
            }
            return;
        }
        if std::mem::replace(&mut peer.sending, true) {
            return;
        }
        let at = self.sent_at();
        let incarnation = self.incarnation;
        self.stage.at(at, Event::Respond { incarnation, link });
    }

    /// The next response of the connection is handed to the kernel.
    pub(super) fn send_response(&mut self, link: LinkId) {
        let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) else {
            return;
        };
        peer.sending = false;
        let shard = peer.shard;
        if self.takes_some(link) {
            return;
        }
        let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) else {
            return;
        };
        peer.taken = 0;
        let Some(outgoing) = peer.outgoing.pop_front() else {
            return;
        };
        let frame = self.gather(shard, outgoing.parts);
        let at = self.sent_at();
        self.deliver_at(at, shard, Input::Sent { op: outgoing.op });
        let Some(frame) = frame else {
            self.report.unsendable += 1;
            self.drop_peer(link);
            return;
        };
        self.oracle.response_leaves(&self.disk, link, &frame);
        self.links
            .send(&mut self.stage, &self.options.delays, link, End::Broker, &frame);
        self.want_response(link);
    }

    /// The socket takes a part of the next response now and then, and a slow one hardly ever more; whether it did. What it
    /// took reaches the client with the rest, at the latest when its link is no longer slow.
    fn takes_some(&mut self, link: LinkId) -> bool {
        let slow_for = self.links.slow_until(link).saturating_sub(self.stage.now());
        let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) else {
            return false;
        };
        let length = peer.outgoing.front().map_or(0, Outgoing::length);
        let left = length.saturating_sub(peer.taken);
        let (parts, of) = if slow_for > 0 { (7, 8) } else { (1, 16) };
        if left < 2 || !self.stage.draw.chance(parts, of) {
            return false;
        }
        let bytes = self.stage.draw.spread(1, left - 1);
        peer.taken += bytes;
        peer.sending = true;
        let shard = peer.shard;
        let connection = ConnectionId(link.0);
        self.deliver(shard, Input::Progress { connection, bytes });
        let at = self.sent_at() + self.stage.draw.within(0, slow_for);
        let incarnation = self.incarnation;
        self.stage.at(at, Event::Respond { incarnation, link });
        true
    }

    /// The bytes of a response, ranges read from their files now; `None` when a range is no longer there in full, or holds
    /// other batches than are due.
    fn gather(&mut self, shard: usize, parts: Vec<Part>) -> Option<Bytes> {
        if let [Part::Inline(bytes)] = parts.as_slice() {
            return Some(bytes.clone());
        }
        let mut frame = BytesMut::new();
        for part in parts {
            match part {
                Part::Inline(bytes) => frame.extend_from_slice(&bytes),
                Part::Range(range, mut content) => {
                    self.report.ranges += 1;
                    let read = FileOp::Read {
                        file: range.file,
                        position: range.position,
                        length: range.length,
                    };
                    match self.disk.perform(&read) {
                        Ok(IoValue::Bytes(bytes)) if bytes.len() == range.length as usize => {
                            match self.pass(&mut content, range.position, &bytes) {
                                Ok(from_device) => self.oracle.leaves(&bytes, &from_device),
                                Err(broken) => {
                                    self.weather.hit(match broken.flaw {
                                        Flaw::Header => "batches that were not due",
                                        Flaw::Crc => "rotten batches kept back",
                                    });
                                    let file = range.file;
                                    self.deliver(shard, Input::Broken { file, broken });
                                    return None;
                                }
                            }
                            frame.extend_from_slice(&bytes);
                        }
                        Ok(_) => return None,
                        Err(_) => {
                            self.weather.hit("failed read");
                            return None;
                        }
                    }
                }
            }
        }
        Some(frame.freeze())
    }

    /// Looks at the bytes of a range in pieces, as they would leave: none, some or all of them come from the device. Answers
    /// which.
    fn pass(&mut self, content: &mut Content, position: u64, bytes: &[u8]) -> Result<Vec<Range<usize>>, Broken> {
        let draw = &mut self.stage.draw;
        let least = bytes.len() as u64 / 4 + 1;
        let length = draw.within(least, bytes.len().max(1) as u64) as usize;
        let cold = draw.below(3);
        let mut from_device = Vec::new();
        for at in (0..bytes.len()).step_by(length) {
            let piece = at..(at + length).min(bytes.len());
            let origin = if draw.chance(cold, 2) {
                from_device.push(piece.clone());
                Origin::Device
            } else {
                Origin::Cache
            };
            let sent = content.unchecked().filter(|_| origin == Origin::Device);
            if let Some((from, length)) = sent {
                content.catch_up(&bytes[(from - position) as usize..][..length as usize]);
            }
            content.pass(&bytes[piece], origin)?;
        }
        Ok(from_device)
    }

    /// Sends what was emitted before, then closes.
    pub(super) fn close_after_responses(&mut self, link: LinkId) {
        if let Some(peer) = self.process.as_mut().and_then(|process| process.peers.get_mut(&link)) {
            peer.closing = true;
            if !peer.sending {
                self.want_response(link);
            }
        }
    }
}
