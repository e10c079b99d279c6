//! A broker's settings as a manual lists them.

use super::broker_keys::{BrokerKey, BrokerRole};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A setting of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What counts where it is not set; `None` where nothing does, or where other settings give the value.
    pub default: Option<&'static str>,
    /// The values that it takes, in words.
    pub allowed: String,
    /// What it does.
    pub effect: Effect,
}

/// What a setting does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// What it says.
    Acts(&'static str),
    /// Nothing, for this reason.
    Inert(&'static str),
    /// A start with any other value is refused, for this reason.
    Only(&'static str, &'static str),
}

/// Every setting but those of TLS and SASL, none of which can be given; sorted by name.
pub fn settings() -> Vec<Setting> {
    let setting = |key: &BrokerKey| Setting {
        name: key.name,
        default: key.default,
        allowed: key.bounds.to_string(),
        effect: match key.role {
            BrokerRole::Acts => Effect::Acts(key.doc),
            BrokerRole::Inert(reason) => Effect::Inert(reason),
            BrokerRole::Only(value, reason) => Effect::Only(value, reason),
        },
    };
    let mut settings: Vec<_> = BrokerKey::all().map(setting).collect();
    settings.sort_unstable_by_key(|setting| setting.name);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_acts_says_what_it_does() {
        let settings = settings();
        assert!(settings.is_sorted_by(|a, b| a.name < b.name));
        for setting in &settings {
            let (Effect::Acts(text) | Effect::Inert(text) | Effect::Only(_, text)) = setting.effect;
            assert!(!text.is_empty(), "{}", setting.name);
        }
    }
}
