//! The classic group protocol: members join, a leader assigns, all sync.

mod group;
mod join;
mod member;
mod static_members;
mod sync;
mod time;
mod told;
mod vote;
mod weight;

pub(super) use group::{After, Group, Record, State, Work};
pub(super) use member::{Acquaintance, Member, Waiting};
