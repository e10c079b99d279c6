//! What both brokers are asked. Each file holds one API or one family; each scenario is a function that runs once for
//! each broker.

mod api_versions;
mod batches;
mod broker_settings;
mod changes;
mod configs_running;
mod describe_configs;
mod fetch;
mod fetch_sessions;
mod find_coordinator;
mod frames;
mod generated;
mod group_edges;
mod groups;
mod idempotence;
mod list_offsets;
mod listeners;
mod log_dirs;
mod members;
mod metadata;
mod offsets;
mod other_settings;
mod produce;
mod restart;
mod topics;

use crate::peer::Peer;

/// A scenario's name, and what it does.
pub(crate) type Scenario = (&'static str, fn(&mut Peer));

/// Every scenario, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    let families: [&[Scenario]; 24] = [
        api_versions::SCENARIOS,
        metadata::SCENARIOS,
        topics::SCENARIOS,
        produce::SCENARIOS,
        batches::SCENARIOS,
        idempotence::SCENARIOS,
        fetch::SCENARIOS,
        fetch_sessions::SCENARIOS,
        list_offsets::SCENARIOS,
        find_coordinator::SCENARIOS,
        groups::SCENARIOS,
        group_edges::SCENARIOS,
        offsets::SCENARIOS,
        describe_configs::SCENARIOS,
        changes::SCENARIOS,
        broker_settings::SCENARIOS,
        configs_running::SCENARIOS,
        log_dirs::SCENARIOS,
        frames::SCENARIOS,
        generated::SCENARIOS,
        generated::WALKS,
        restart::SCENARIOS,
        other_settings::SCENARIOS,
        listeners::SCENARIOS,
    ];
    families.into_iter().flatten().copied()
}

/// An id that no topic has.
pub(crate) const NO_TOPIC_ID: &str = "dGhpcyBpcyBubyB0b3BpYw";
/// Kafka's 'no id'.
pub(crate) const ZERO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
