//! Topics changed while they are in use.

use super::cluster::{Cluster, PartitionLeader, TOPIC_RESOURCE, check, text};
use super::error::ClientError;
use klamm_core::wire::Text;
use klamm_core::wire::message::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use klamm_core::wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use klamm_core::wire::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

/// `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// How long the broker may take, in milliseconds.
const PATIENCE_MS: i32 = 30_000;

impl Cluster {
    /// Changes settings of a topic: to a value, or back to the default where there is none.
    pub async fn alter_topic(&mut self, name: &str, settings: &[(&str, Option<&str>)]) -> Result<(), ClientError> {
        let config = |&(name, value): &(&str, Option<&str>)| AlterableConfig {
            name: text(name),
            config_operation: if value.is_some() { SET } else { DELETE },
            value: value.map(text),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: text(name),
                configs: settings.iter().map(config).collect(),
            }],
            ..IncrementalAlterConfigsRequest::default()
        };
        let response: IncrementalAlterConfigsResponse = self.controller().await?.call(&request).await?;
        for result in response.responses {
            let message = result.error_message.as_ref().map(Text::as_str);
            check(|| format!("changing topic {name}"), result.error_code, message)?;
        }
        Ok(())
    }

    /// Gives a topic more partitions: `count` in all.
    pub async fn extend_topic(&mut self, name: &str, count: i32) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: text(name),
                count,
                assignments: None,
            }],
            timeout_ms: PATIENCE_MS,
            ..CreatePartitionsRequest::default()
        };
        let response: CreatePartitionsResponse = self.controller().await?.call(&request).await?;
        for result in response.results {
            let message = result.error_message.as_ref().map(Text::as_str);
            check(
                || format!("adding partitions to topic {name}"),
                result.error_code,
                message,
            )?;
        }
        Ok(())
    }

    /// Deletes the records of a partition below an offset; −1 deletes all. Returns where the partition begins now.
    pub async fn delete_records(&mut self, topic: &str, at: PartitionLeader, below: i64) -> Result<i64, ClientError> {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: text(topic),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: at.partition,
                    offset: below,
                }],
            }],
            timeout_ms: PATIENCE_MS,
        };
        let answer = self
            .broker(at.leader)
            .await?
            .call::<_, DeleteRecordsResponse>(&request)
            .await;
        if answer.is_err() {
            self.drop_broker(at.leader);
        }
        let response = answer?;
        let result = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        let result =
            result.ok_or_else(|| ClientError::Unexpected("the broker did not answer for the partition".to_owned()))?;
        let what = || format!("deleting records of {topic}-{}", at.partition);
        check(what, result.error_code, None)?;
        Ok(result.low_watermark)
    }
}
