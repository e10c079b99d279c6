//! What a client asks that changes nothing: what the broker speaks, how topics are configured, which groups there are.
//!
//! Both codecs name what they carry alike, so what is said is written once, and each brings its own types to it.

mod crate_codec;
mod own_codec;

use super::Codec;
use bytes::Bytes;
use klamm_core::wire::frame::LENGTH_BYTES;

/// The APIs of such questions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum QuestionApi {
    ApiVersions,
    DescribeConfigs,
    ListGroups,
    DescribeGroups,
}

impl QuestionApi {
    /// As Kafka names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiVersions => "ApiVersions",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::ListGroups => "ListGroups",
            Self::DescribeGroups => "DescribeGroups",
        }
    }
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    /// Which versions of which APIs are served?
    Versions,
    /// How is the topic configured? All keys where none are named.
    Configs { topic: String, keys: Option<Vec<String>> },
    /// Which groups are there?
    Groups,
    /// What is the group like?
    Group(String),
}

impl Question {
    pub(crate) fn api(&self) -> QuestionApi {
        match self {
            Self::Versions => QuestionApi::ApiVersions,
            Self::Configs { .. } => QuestionApi::DescribeConfigs,
            Self::Groups => QuestionApi::ListGroups,
            Self::Group(_) => QuestionApi::DescribeGroups,
        }
    }
}

/// A setting of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ToldConfig {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    /// Whether it was given to this topic (`DYNAMIC_TOPIC_CONFIG`).
    pub(crate) given: bool,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Keys, with their first and last version.
    Versions {
        error: i16,
        apis: Vec<(i16, i16, i16)>,
    },
    Configs {
        error: i16,
        configs: Vec<ToldConfig>,
    },
    Groups {
        error: i16,
        names: Vec<String>,
    },
    /// Its state, and its members with their parts.
    Group {
        error: i16,
        state: String,
        members: Vec<(String, Bytes)>,
    },
}

/// `DYNAMIC_TOPIC_CONFIG` (`DescribeConfigsResponse.ConfigSource`).
const OF_THE_TOPIC: i8 = 1;
/// `ConfigResource.Type.TOPIC`.
const TOPIC: i8 = 2;
/// The last version of ApiVersions that a broker knows, and an answer can come in.
pub(crate) const LAST_API_VERSIONS: i16 = 5;

/// The two directions of a codec, from types and helpers of one name each: `text` makes a string, `group_id` the name of a
/// group, `frame` a request's frame, and `read` the message of a response.
macro_rules! speak {
    () => {
        pub(super) fn encode(correlation: i32, client: &str, question: &Question, version: i16) -> Bytes {
            match question {
                Question::Versions => {
                    let mut message = ApiVersionsRequest::default();
                    message.client_software_name = text("klamm-sim");
                    message.client_software_version = text("1");
                    frame((correlation, client), &message, version)
                }
                Question::Configs { topic, keys } => {
                    let mut resource = DescribeConfigsResource::default();
                    resource.resource_type = TOPIC;
                    resource.resource_name = text(topic);
                    let keys = keys.as_ref();
                    resource.configuration_keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
                    let mut message = DescribeConfigsRequest::default();
                    message.resources.push(resource);
                    frame((correlation, client), &message, version)
                }
                Question::Groups => frame((correlation, client), &ListGroupsRequest::default(), version),
                Question::Group(name) => {
                    let mut message = DescribeGroupsRequest::default();
                    message.groups.push(group_id(name));
                    frame((correlation, client), &message, version)
                }
            }
        }

        pub(super) fn decode(api: QuestionApi, version: i16, bytes: &Bytes) -> Result<(i32, Answer), String> {
            Ok(match api {
                QuestionApi::ApiVersions => {
                    let (correlation, message) = read::<ApiVersionsResponse>(bytes, version)?;
                    let error = message.error_code;
                    let apis = message.api_keys.iter();
                    let apis = apis
                        .map(|it| (it.api_key, it.min_version, it.max_version))
                        .collect();
                    (correlation, Answer::Versions { error, apis })
                }
                QuestionApi::DescribeConfigs => {
                    let (correlation, message) = read::<DescribeConfigsResponse>(bytes, version)?;
                    let [result] = message.results.as_slice() else {
                        return Err(format!("one topic was named, {} answered", message.results.len()));
                    };
                    let configs = result.configs.iter().map(|it| ToldConfig {
                        name: it.name.to_string(),
                        value: it.value.as_ref().map(ToString::to_string),
                        given: it.config_source == OF_THE_TOPIC,
                    });
                    let (error, configs) = (result.error_code, configs.collect());
                    (correlation, Answer::Configs { error, configs })
                }
                QuestionApi::ListGroups => {
                    let (correlation, message) = read::<ListGroupsResponse>(bytes, version)?;
                    let error = message.error_code;
                    let names = message.groups.iter().map(|it| it.group_id.to_string()).collect();
                    (correlation, Answer::Groups { error, names })
                }
                QuestionApi::DescribeGroups => {
                    let (correlation, message) = read::<DescribeGroupsResponse>(bytes, version)?;
                    let [group] = message.groups.as_slice() else {
                        return Err(format!("one group was named, {} answered", message.groups.len()));
                    };
                    let members = group.members.iter();
                    let members = members.map(|it| (it.member_id.to_string(), it.member_assignment.clone()));
                    let answer = Answer::Group {
                        error: group.error_code,
                        state: group.group_state.to_string(),
                        members: members.collect(),
                    };
                    (correlation, answer)
                }
            })
        }
    };
}

use speak;

impl Codec {
    /// The whole frame of `question`, with its length. A version of ApiVersions that no broker knows is written over one
    /// that both sides know: nobody reads what stands behind it.
    pub(super) fn encode_question(self, correlation: i32, client: &str, question: &Question, version: i16) -> Bytes {
        let known = match question {
            Question::Versions => version.min(self.api_versions_last()),
            _ => version,
        };
        let frame = match self {
            Self::Own => own_codec::encode(correlation, client, question, known),
            Self::Crate => crate_codec::encode(correlation, client, question, known),
        };
        if known == version {
            return frame;
        }
        let mut bytes = frame.to_vec();
        bytes[LENGTH_BYTES + 2..LENGTH_BYTES + 4].copy_from_slice(&version.to_be_bytes());
        bytes.into()
    }

    /// Reads a frame, without its length, as the answer to a question of `api` and `version`: to a version of ApiVersions
    /// that nobody knows it comes in the first (KIP-511).
    pub(super) fn decode_question(
        self,
        api: QuestionApi,
        version: i16,
        frame: &Bytes,
    ) -> Result<(i32, Answer), String> {
        let unknown = api == QuestionApi::ApiVersions && version > LAST_API_VERSIONS;
        let version = if unknown { 0 } else { version };
        match self {
            Self::Own => own_codec::decode(api, version, frame),
            Self::Crate => crate_codec::decode(api, version, frame),
        }
    }

    /// The last version of ApiVersions that the codec knows.
    pub(crate) fn api_versions_last(self) -> i16 {
        match self {
            Self::Own => LAST_API_VERSIONS,
            Self::Crate => 4,
        }
    }
}
