//! One directory: the names that the system shows, and those that a power cut would leave.

use super::InodeId;
use crate::draw::Draw;
use std::collections::BTreeMap;

type Names = BTreeMap<Box<str>, InodeId>;

/// A change of names that is not yet durable.
#[derive(Clone, Debug)]
enum Change {
    Link(Box<str>, InodeId),
    Unlink(Box<str>),
    /// Within one directory a rename arrives whole or not at all.
    Rename(Box<str>, Box<str>, InodeId),
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

/// What survives of the changes that no sync had covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameLoss {
    /// No change survives.
    All,
    /// Every change survives.
    Nothing,
    /// Those up to some point survive.
    Suffix,
    /// Each survives or not on its own.
    Any,
}

/// A directory's names, twice.
#[derive(Default, Debug)]
pub(super) struct Directory {
    names: Names,
    durable: Names,
    /// With when each happened, oldest first.
    pending: Vec<(u64, Change)>,
}

impl Directory {
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    pub(super) fn durable(&self) -> &Names {
        &self.durable
    }

    /// Everything that a name leads to or, after a power cut, may lead to.
    pub(super) fn reach(&self) -> impl Iterator<Item = InodeId> + '_ {
        let pending = self.pending.iter().filter_map(|(_, change)| match change {
            Change::Link(_, inode) | Change::Rename(_, _, inode) => Some(*inode),
            Change::Unlink(_) => None,
        });
        self.names.values().chain(self.durable.values()).copied().chain(pending)
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The names of files and directories that were created and are not durable.
    pub(super) fn created(&self) -> impl Iterator<Item = &str> {
        self.pending.iter().filter_map(|(_, change)| match change {
            Change::Link(name, _) => Some(&**name),
            Change::Unlink(_) | Change::Rename(..) => None,
        })
    }

    pub(super) fn link(&mut self, name: &str, inode: InodeId, now: u64) {
        self.change(Change::Link(name.into(), inode), now);
    }

    pub(super) fn unlink(&mut self, name: &str, now: u64) {
        self.change(Change::Unlink(name.into()), now);
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, inode: InodeId, now: u64) {
        self.change(Change::Rename(from.into(), to.into(), inode), now);
    }

    /// The name is gone, from the device too.
    pub(super) fn lose(&mut self, name: &str) {
        self.names.remove(name);
        self.durable.remove(name);
        let is_of = |change: &Change| match change {
            Change::Link(of, _) | Change::Unlink(of) | Change::Rename(_, of, _) => **of == *name,
        };
        self.pending.retain(|(_, change)| !is_of(change));
    }

    fn change(&mut self, change: Change, now: u64) {
        change.apply(&mut self.names);
        self.pending.push((now, change));
    }

    /// A sync of the directory that began at `began` ended well.
    pub(super) fn persist(&mut self, began: u64) {
        let covered = self.pending.partition_point(|&(when, _)| when <= began);
        for (_, change) in self.pending.drain(..covered) {
            change.apply(&mut self.durable);
        }
    }

    /// The power goes. Returns whether a change was lost.
    pub(super) fn cut(&mut self, loss: NameLoss, draw: &mut Draw) -> bool {
        let pending = std::mem::take(&mut self.pending);
        let kept_prefix = match loss {
            NameLoss::Suffix => draw.index(pending.len() + 1),
            NameLoss::All => 0,
            NameLoss::Nothing | NameLoss::Any => pending.len(),
        };
        let mut any_lost = false;
        for (index, (_, change)) in pending.iter().enumerate() {
            if index < kept_prefix && (loss != NameLoss::Any || draw.chance(1, 2)) {
                change.apply(&mut self.durable);
            } else {
                any_lost = true;
            }
        }
        self.names.clone_from(&self.durable);
        any_lost
    }
}
