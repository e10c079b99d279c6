//! Settings that are given to the running broker (KIP-226).
//!
//! Invariant: once a change was published, everything that a shard begins is held to it; a change that means nothing here
//! is said to mean nothing, once.

use super::{CONTROLLER, Effect, Effects, Report, Shard};
use crate::config::{BrokerConfig, inert_reason};
use crate::types::Now;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

impl Shard {
    /// Takes over the settings given to the running broker, as the image has them.
    pub(super) fn adopt_settings(&mut self, now: Now, effects: &mut Effects) {
        let image = &self.view.image;
        let (shared, own) = (None, Some(self.given.node_id));
        let config = self
            .given
            .with_dynamic(image.broker_settings(shared), image.broker_settings(own));
        let before = core::mem::replace(&mut self.view.config, Arc::new(config));
        if self.view.id == CONTROLLER {
            self.tell_of_inert(&before, effects);
            let connections = &self.view.config.connections;
            if *connections != before.connections {
                effects.push(Effect::Connections(Box::new(connections.clone())));
            }
        }
        if self.view.config.cleaner_backoff_ms < before.cleaner_backoff_ms && self.compaction_look.is_some() {
            self.look_for_compaction_in(now, self.view.config.cleaner_backoff_ms);
        }
    }

    /// Says of each setting that was given and does nothing here that it does nothing.
    fn tell_of_inert(&self, before: &BrokerConfig, effects: &mut Effects) {
        type Given = BTreeMap<&'static str, String>;
        let after = &self.view.config;
        let news = |before: &Given, after: &Given| -> Given {
            let given = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
            given.map(|(&name, value)| (name, value.clone())).collect()
        };
        let mut changed = news(&before.dynamic_defaults, &after.dynamic_defaults);
        changed.append(&mut news(&before.dynamic, &after.dynamic));
        for (name, value) in changed {
            if let Some(reason) = inert_reason(name) {
                let text = format!("{name}={value} is accepted and has no effect in Klamm, because {reason}");
                effects.push(Effect::Report(Report::Warning(text)));
            }
        }
    }
}
