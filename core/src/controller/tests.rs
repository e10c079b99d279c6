//! The controller without a log: what each request decides, and when it is answered.

use super::*;
use crate::group::CONSUMER_OFFSETS;
use crate::types::{BrokerId, ErrorCode, TopicId, Uuid};
use alloc::string::{String, ToString};
use alloc::vec;

type TestController = Controller<&'static str>;

fn registered() -> TestController {
    let mut controller = Controller::new(Image::default(), Arc::new(BrokerConfig::default()), Seed::new(1));
    assert_eq!(controller.register().len(), 1);
    controller.committed(Offset(1), 1);
    controller.published();
    controller
}

fn topic(name: &str) -> NewTopic {
    let (name, assignments) = (name.to_string(), Vec::new());
    NewTopic {
        name,
        partitions: 3,
        replication_factor: -1,
        assignments,
        config: Vec::new(),
    }
}

fn create(topics: Vec<NewTopic>) -> ControllerRequest {
    ControllerRequest::CreateTopics {
        topics,
        validate_only: false,
    }
}

/// Runs one commit to its end and returns the answers.
fn commit(controller: &mut TestController) -> Vec<(&'static str, ControllerAnswer)> {
    if let Some(records) = controller.next_commit() {
        let end = controller.image().end().plus(records.len() as i64);
        controller.committed(end, 1);
        controller.published();
    }
    controller.answers().collect()
}

fn codes(answer: &ControllerAnswer) -> Vec<ErrorCode> {
    let code = |refusal: Option<&crate::types::Refusal>| refusal.map_or(ErrorCode::None, |refusal| refusal.code);
    match answer {
        ControllerAnswer::Created(outcomes) => outcomes.iter().map(|it| code(it.as_ref().err())).collect(),
        ControllerAnswer::Deleted(topics) => topics.iter().map(|it| code(it.result.as_ref().err())).collect(),
        other => panic!("{other:?} has no codes"),
    }
}

fn outcome(controller: &mut TestController, request: ControllerRequest) -> Vec<ErrorCode> {
    controller.submit("a", request);
    codes(&commit(controller)[0].1)
}

#[test]
fn nothing_is_answered_before_it_is_durable_and_every_shard_knows_it() {
    let mut controller = registered();
    controller.submit("a", create(vec![topic("orders")]));
    let records = controller.next_commit().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(controller.answers().count(), 0);
    let publication = controller.committed(Offset(2), 2);
    assert_eq!(publication.image.topic_named("orders").unwrap().partitions.len(), 3);
    assert_eq!(publication.delta.created.len(), 1);
    controller.published();
    assert_eq!(controller.answers().count(), 0, "one shard of two does not know yet");
    controller.published();
    let answers: Vec<_> = controller.answers().collect();
    assert_eq!((answers.len(), codes(&answers[0].1)), (1, vec![ErrorCode::None]));
    assert!(controller.is_idle());
}

#[test]
fn requests_that_wait_share_a_commit_and_see_each_other() {
    let mut controller = registered();
    controller.submit("a", create(vec![topic("orders")]));
    controller.submit("b", create(vec![topic("orders")]));
    controller.submit(
        "c",
        ControllerRequest::DeleteTopics(vec![TopicReference::Name("orders".to_string())]),
    );
    controller.submit("d", create(vec![topic("orders")]));
    let answers = commit(&mut controller);
    let codes: Vec<_> = answers
        .iter()
        .map(|(asker, answer)| (*asker, codes(answer)[0]))
        .collect();
    let none = ErrorCode::None;
    assert_eq!(
        codes,
        [
            ("a", none),
            ("b", ErrorCode::TopicAlreadyExists),
            ("c", none),
            ("d", none)
        ]
    );
}

fn assert_outcomes(controller: &mut TestController, cases: impl IntoIterator<Item = (NewTopic, ErrorCode)>) {
    for (topic, expected) in cases {
        let described = alloc::format!("{topic:?}");
        assert_eq!(outcome(controller, create(vec![topic])), [expected], "{described}");
    }
}

#[test]
fn counts_are_refused_for_kafkas_reasons() {
    use ErrorCode::{InvalidPartitions, InvalidReplicationFactor, PolicyViolation};
    let cases = [
        (
            NewTopic {
                partitions: 0,
                ..topic("p")
            },
            InvalidPartitions,
        ),
        (
            NewTopic {
                partitions: i32::MAX,
                ..topic("p")
            },
            PolicyViolation,
        ),
        (
            NewTopic {
                replication_factor: 0,
                ..topic("p")
            },
            InvalidReplicationFactor,
        ),
        (
            NewTopic {
                replication_factor: 2,
                ..topic("p")
            },
            InvalidReplicationFactor,
        ),
        (
            NewTopic {
                partitions: 0,
                replication_factor: -2,
                ..topic("p")
            },
            InvalidReplicationFactor,
        ),
        (
            NewTopic {
                partitions: 0,
                replication_factor: 2,
                ..topic("p")
            },
            InvalidPartitions,
        ),
    ];
    assert_outcomes(&mut registered(), cases);
}

#[test]
fn topics_are_refused_for_kafkas_reasons() {
    use ErrorCode::{InvalidConfig, InvalidReplicaAssignment, InvalidRequest, InvalidTopicException, None};
    let assigned = |assignments: &[(i32, &[i32])]| NewTopic {
        partitions: -1,
        assignments: assignments
            .iter()
            .map(|(i, ids)| (*i, ids.iter().map(|&id| BrokerId(id)).collect()))
            .collect(),
        ..topic("assigned")
    };
    let config = |key: &str, value: &str| NewTopic {
        config: vec![(key.to_string(), Some(value.to_string()))],
        ..topic("configured")
    };
    let cases = [
        (topic(""), InvalidTopicException),
        (topic(".."), InvalidTopicException),
        (topic("a/b"), InvalidTopicException),
        (topic(&"x".repeat(250)), InvalidTopicException),
        (
            NewTopic {
                partitions: 3,
                ..assigned(&[(0, &[1])])
            },
            InvalidRequest,
        ),
        (assigned(&[(1, &[1])]), InvalidReplicaAssignment),
        (assigned(&[(0, &[])]), InvalidReplicaAssignment),
        (assigned(&[(0, &[1, 1])]), InvalidReplicaAssignment),
        (assigned(&[(0, &[7])]), InvalidReplicaAssignment),
        (config("retention.ms", "soon"), InvalidConfig),
        (config("no.such.key", "1"), InvalidConfig),
        (
            NewTopic {
                replication_factor: 2,
                ..config("no.such.key", "1")
            },
            InvalidConfig,
        ),
        (config("retention.ms", "1000"), None),
        (topic(&"x".repeat(249)), None),
        (topic("a.b"), None),
        (topic("a_b"), InvalidTopicException),
    ];
    let mut controller = registered();
    assert_outcomes(&mut controller, cases);
    assert_eq!(
        outcome(&mut controller, create(vec![topic("t"), topic("t"), topic("u")])),
        [InvalidRequest, InvalidRequest, None]
    );
}

#[test]
fn a_request_that_only_checks_changes_nothing() {
    let mut controller = registered();
    let check = ControllerRequest::CreateTopics {
        topics: vec![topic("orders")],
        validate_only: true,
    };
    assert_eq!(outcome(&mut controller, check), [ErrorCode::None]);
    assert!(controller.image().topic_named("orders").is_none());
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut controller = registered();
    outcome(&mut controller, create(vec![topic("a"), topic("b")]));
    let id = controller.image().topic_named("b").unwrap().id;
    let name = |name: &str| TopicReference::Name(String::from(name));
    let codes = outcome(
        &mut controller,
        ControllerRequest::DeleteTopics(vec![
            name("a"),
            TopicReference::Id(id),
            name("missing"),
            TopicReference::Id(TopicId(Uuid([9; 16]))),
            name("twice"),
            name("twice"),
            name(""),
            TopicReference::Invalid {
                name: None,
                id: TopicId::default(),
                reason: "neither",
            },
        ]),
    );
    assert_eq!(
        codes,
        [
            ErrorCode::None,
            ErrorCode::None,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::UnknownTopicId,
            ErrorCode::InvalidRequest,
            ErrorCode::InvalidRequest,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::InvalidRequest
        ]
    );
    assert_eq!(controller.image().topics().count(), 0);
}

#[test]
fn blocks_of_producer_ids_do_not_overlap() {
    let mut controller = registered();
    for asker in ["a", "b", "c"] {
        controller.submit(asker, ControllerRequest::ReserveProducerIds);
    }
    let blocks: Vec<_> = commit(&mut controller)
        .into_iter()
        .map(|(_, answer)| match answer {
            ControllerAnswer::ProducerIds(ids) => ids,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(blocks, [0..1000, 1000..2000, 2000..3000]);
}

#[test]
fn a_commit_that_cannot_be_written_changes_nothing_and_says_so() {
    let mut controller = registered();
    controller.submit("a", create(vec![topic("orders")]));
    controller.next_commit().unwrap();
    controller.append_failed();
    assert!(matches!(
        controller.answers().next(),
        Some(("a", ControllerAnswer::StorageError))
    ));
    assert_eq!(
        outcome(&mut controller, create(vec![topic("orders")])),
        [ErrorCode::None]
    );
}

#[test]
fn the_topic_of_groups_keeps_its_partitions_and_ages_nothing() {
    let mut controller = registered();
    assert_eq!(
        outcome(&mut controller, create(vec![topic(CONSUMER_OFFSETS)])),
        [ErrorCode::None]
    );
    let more = |name: &str| MorePartitions {
        name: name.to_string(),
        count: 4,
        assignments: None,
    };
    controller.submit(
        "a",
        ControllerRequest::CreatePartitions {
            topics: vec![more(CONSUMER_OFFSETS)],
            validate_only: false,
        },
    );
    match &commit(&mut controller)[0].1 {
        ControllerAnswer::PartitionsCreated(outcomes) => {
            let refusal = outcomes[0].as_ref().unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidRequest);
            assert!(refusal.message.as_ref().unwrap().contains(CONSUMER_OFFSETS));
        }
        other => panic!("{other:?}"),
    }
    let there = controller.image().topic_named(CONSUMER_OFFSETS).unwrap();
    assert_eq!(there.partitions.len(), 3);
    for (policy, code) in [
        ("delete", ErrorCode::InvalidConfig),
        ("compact,delete", ErrorCode::InvalidConfig),
        ("compact", ErrorCode::None),
    ] {
        let alteration = ConfigAlteration {
            resource: ConfigResource::Topic(CONSUMER_OFFSETS.to_string()),
            change: ConfigChange::Incremental(vec![(
                String::from("cleanup.policy"),
                ConfigOp::Set(Some(policy.to_string())),
            )]),
        };
        controller.submit(
            "a",
            ControllerRequest::AlterConfigs {
                alterations: vec![alteration],
                validate_only: false,
            },
        );
        match &commit(&mut controller)[0].1 {
            ControllerAnswer::Altered(outcomes) => {
                let told = outcomes[0]
                    .as_ref()
                    .map_or_else(|refusal| refusal.code, |()| ErrorCode::None);
                assert_eq!(told, code, "{policy}");
            }
            other => panic!("{other:?}"),
        }
    }
}
