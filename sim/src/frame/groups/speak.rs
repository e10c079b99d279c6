//! What members and tools say, once for both codecs: these name fields alike, and each brings its own types.

/// A message with these fields, and nothing in the others.
macro_rules! message {
    ($type:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let mut message = $type::default();
        $(message.$field = $value;)*
        message
    }};
}

/// The two directions of a codec, from types and helpers of one name each: `text` makes a string, `group_id` and
/// `topic_name` the names of groups and topics, `topic_id` an id, `named` reads both, `NO_ID` is none, `frame` makes a
/// request's frame, and `read` the message of a response.
macro_rules! speak {
    () => {
        fn instance(speaker: &Speaker) -> Option<Text> {
            speaker.instance.as_deref().map(text)
        }

        pub(super) fn encode(correlation: i32, client: &str, request: &GroupRequest, version: i16) -> Bytes {
            let to = (correlation, client);
            match request {
                GroupRequest::Find { group } => frame(to, &find(group, version), version),
                GroupRequest::Join {
                    speaker,
                    session_ms,
                    rebalance_ms,
                    protocols,
                } => {
                    let message = join_request(speaker, (*session_ms, *rebalance_ms), protocols);
                    frame(to, &message, version)
                }
                GroupRequest::Sync {
                    speaker,
                    protocol,
                    assignments,
                    ..
                } => frame(
                    to,
                    &sync_request(speaker, protocol, assignments, version),
                    version,
                ),
                GroupRequest::Heartbeat(speaker) => {
                    let message = message!(HeartbeatRequest {
                        group_id: group_id(&speaker.group),
                        generation_id: speaker.generation,
                        member_id: text(&speaker.member),
                        group_instance_id: instance(speaker),
                    });
                    frame(to, &message, version)
                }
                GroupRequest::Leave(speaker) => frame(to, &leave_request(speaker, version), version),
                GroupRequest::Commit { speaker, offsets } => {
                    let message = message!(OffsetCommitRequest {
                        group_id: group_id(&speaker.group),
                        generation_id_or_member_epoch: speaker.generation,
                        member_id: text(&speaker.member),
                        group_instance_id: instance(speaker),
                        topics: commit_topics(offsets, version),
                    });
                    frame(to, &message, version)
                }
                GroupRequest::Fetch { group, parts, stable } => {
                    frame(to, &fetch_request(group, parts, *stable, version), version)
                }
                GroupRequest::Delete { group, .. } => {
                    let message = message!(DeleteGroupsRequest {
                        groups_names: vec![group_id(group)],
                    });
                    frame(to, &message, version)
                }
                GroupRequest::DeleteOffsets { group, parts } => {
                    let message = message!(OffsetDeleteRequest {
                        group_id: group_id(group),
                        topics: delete_topics(parts),
                    });
                    frame(to, &message, version)
                }
            }
        }

        fn find(group: &str, version: i16) -> FindCoordinatorRequest {
            let several = version >= 4;
            message!(FindCoordinatorRequest {
                key: if several { Text::default() } else { text(group) },
                coordinator_keys: several.then(|| text(group)).into_iter().collect(),
            })
        }

        fn join_request(
            speaker: &Speaker,
            (session_ms, rebalance_ms): (i32, i32),
            protocols: &[(String, Bytes)],
        ) -> JoinGroupRequest {
            let protocol = |(name, metadata): &(String, Bytes)| {
                message!(JoinGroupRequestProtocol {
                    name: text(name),
                    metadata: metadata.clone(),
                })
            };
            message!(JoinGroupRequest {
                group_id: group_id(&speaker.group),
                session_timeout_ms: session_ms,
                rebalance_timeout_ms: rebalance_ms,
                member_id: text(&speaker.member),
                group_instance_id: instance(speaker),
                protocol_type: text(CONSUMER),
                protocols: protocols.iter().map(protocol).collect(),
            })
        }

        fn sync_request(
            speaker: &Speaker,
            protocol: &str,
            assignments: &[(String, Bytes)],
            version: i16,
        ) -> SyncGroupRequest {
            let assignment = |(member, part): &(String, Bytes)| {
                message!(SyncGroupRequestAssignment {
                    member_id: text(member),
                    assignment: part.clone(),
                })
            };
            message!(SyncGroupRequest {
                group_id: group_id(&speaker.group),
                generation_id: speaker.generation,
                member_id: text(&speaker.member),
                group_instance_id: instance(speaker),
                protocol_type: (version >= 5).then(|| text(CONSUMER)),
                protocol_name: (version >= 5).then(|| text(protocol)),
                assignments: assignments.iter().map(assignment).collect(),
            })
        }

        fn leave_request(speaker: &Speaker, version: i16) -> LeaveGroupRequest {
            if version < 3 {
                return message!(LeaveGroupRequest {
                    group_id: group_id(&speaker.group),
                    member_id: text(&speaker.member),
                });
            }
            let member = message!(MemberIdentity {
                member_id: text(&speaker.member),
                group_instance_id: instance(speaker),
            });
            message!(LeaveGroupRequest {
                group_id: group_id(&speaker.group),
                members: vec![member],
            })
        }

        fn commit_topics(offsets: &[CommitPart], version: i16) -> Vec<OffsetCommitRequestTopic> {
            let partition = |part: &&CommitPart| {
                message!(OffsetCommitRequestPartition {
                    partition_index: part.partition,
                    committed_offset: part.offset,
                    committed_metadata: Some(text(&part.token.to_string())),
                })
            };
            let topics = group(offsets, |part| &part.topic).into_iter();
            let topics = topics.map(|(topic, parts)| {
                message!(OffsetCommitRequestTopic {
                    name: topic_name(&topic.name),
                    topic_id: if version >= 10 { topic_id(topic) } else { NO_ID },
                    partitions: parts.iter().map(partition).collect(),
                })
            });
            topics.collect()
        }

        fn delete_topics(parts: &[(TopicRef, i32)]) -> Vec<OffsetDeleteRequestTopic> {
            let partition = |part: &&(TopicRef, i32)| {
                message!(OffsetDeleteRequestPartition {
                    partition_index: part.1,
                })
            };
            let topics = group(parts, |(topic, _)| topic).into_iter();
            let topics = topics.map(|(topic, parts)| {
                message!(OffsetDeleteRequestTopic {
                    name: topic_name(&topic.name),
                    partitions: parts.iter().map(partition).collect(),
                })
            });
            topics.collect()
        }

        fn fetch_request(name: &str, parts: &[(TopicRef, i32)], stable: bool, version: i16) -> OffsetFetchRequest {
            let topics = group(parts, |(topic, _)| topic).into_iter();
            let topics = topics.map(|(topic, parts)| (topic, parts.iter().map(|(_, partition)| *partition).collect()));
            let stable = stable && version >= 7;
            if version < 8 {
                let topics = topics.map(|(topic, partitions)| {
                    message!(OffsetFetchRequestTopic {
                        name: topic_name(&topic.name),
                        partition_indexes: partitions,
                    })
                });
                return message!(OffsetFetchRequest {
                    group_id: group_id(name),
                    topics: Some(topics.collect()),
                    require_stable: stable,
                });
            }
            let topics = topics.map(|(topic, partitions)| {
                message!(OffsetFetchRequestTopics {
                    name: topic_name(&topic.name),
                    topic_id: if version >= 10 { topic_id(topic) } else { NO_ID },
                    partition_indexes: partitions,
                })
            });
            let group = message!(OffsetFetchRequestGroup {
                group_id: group_id(name),
                topics: Some(topics.collect()),
            });
            message!(OffsetFetchRequest {
                groups: vec![group],
                require_stable: stable,
            })
        }

        pub(super) fn decode(api: GroupApi, version: i16, bytes: &Bytes) -> Result<(i32, GroupResponse), String> {
            Ok(match api {
                GroupApi::FindCoordinator => {
                    let (correlation, message) = read::<FindCoordinatorResponse>(bytes, version)?;
                    let several = message.coordinators.first().map(|it| it.error_code);
                    let error = several.unwrap_or(message.error_code);
                    (correlation, GroupResponse::Found { error })
                }
                GroupApi::JoinGroup => {
                    let (correlation, message) = read::<JoinGroupResponse>(bytes, version)?;
                    let members = message.members.iter().map(|it| it.member_id.to_string());
                    let joined = Joined {
                        error: message.error_code,
                        generation: message.generation_id,
                        protocol: message
                            .protocol_name
                            .map_or_else(String::new, |it| it.to_string()),
                        leader: message.leader.to_string(),
                        member: message.member_id.to_string(),
                        skip_assignment: message.skip_assignment,
                        members: members.collect(),
                    };
                    (correlation, GroupResponse::Joined(joined))
                }
                GroupApi::SyncGroup => {
                    let (correlation, message) = read::<SyncGroupResponse>(bytes, version)?;
                    let (error, assignment) = (message.error_code, message.assignment);
                    (correlation, GroupResponse::Synced { error, assignment })
                }
                GroupApi::Heartbeat => {
                    let (correlation, message) = read::<HeartbeatResponse>(bytes, version)?;
                    let error = message.error_code;
                    (correlation, GroupResponse::Alive { error })
                }
                GroupApi::LeaveGroup => {
                    let (correlation, message) = read::<LeaveGroupResponse>(bytes, version)?;
                    let each = message.members.iter().map(|it| it.error_code);
                    let error = each.chain([message.error_code]).find(|&it| it != 0).unwrap_or(0);
                    (correlation, GroupResponse::Left { error })
                }
                GroupApi::OffsetCommit => {
                    let (correlation, message) = read::<OffsetCommitResponse>(bytes, version)?;
                    (correlation, committed(&message))
                }
                GroupApi::OffsetFetch => {
                    let (correlation, message) = read::<OffsetFetchResponse>(bytes, version)?;
                    (correlation, offsets(&message))
                }
                GroupApi::DeleteGroups => {
                    let (correlation, message) = read::<DeleteGroupsResponse>(bytes, version)?;
                    let error = message.results.first().map_or(-1, |it| it.error_code);
                    (correlation, GroupResponse::Deleted { error })
                }
                GroupApi::OffsetDelete => {
                    let (correlation, message) = read::<OffsetDeleteResponse>(bytes, version)?;
                    (correlation, offsets_deleted(&message))
                }
            })
        }

        fn committed(message: &OffsetCommitResponse) -> GroupResponse {
            let parts = message.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|part| Committed {
                    topic: named(&topic.name, topic.topic_id),
                    partition: part.partition_index,
                    error: part.error_code,
                })
            });
            GroupResponse::Committed(parts.collect())
        }

        fn offsets_deleted(message: &OffsetDeleteResponse) -> GroupResponse {
            let parts = message.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|part| Committed {
                    topic: named(&topic.name, NO_ID),
                    partition: part.partition_index,
                    error: part.error_code,
                })
            });
            GroupResponse::OffsetsDeleted {
                error: message.error_code,
                parts: parts.collect(),
            }
        }

        fn offsets(message: &OffsetFetchResponse) -> GroupResponse {
            let metadata = |it: &Option<Text>| it.as_ref().map_or_else(String::new, |it| it.to_string());
            let old = message.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |part| ToldOffset {
                    topic: named(&topic.name, NO_ID),
                    partition: part.partition_index,
                    error: part.error_code,
                    offset: part.committed_offset,
                    metadata: metadata(&part.metadata),
                })
            });
            let new = message
                .groups
                .iter()
                .flat_map(|group| &group.topics)
                .flat_map(|topic| {
                    topic.partitions.iter().map(move |part| ToldOffset {
                        topic: named(&topic.name, topic.topic_id),
                        partition: part.partition_index,
                        error: part.error_code,
                        offset: part.committed_offset,
                        metadata: metadata(&part.metadata),
                    })
                });
            let error = message
                .groups
                .first()
                .map_or(message.error_code, |it| it.error_code);
            GroupResponse::Offsets {
                error,
                parts: old.chain(new).collect(),
            }
        }
    };
}

pub(super) use {message, speak};
