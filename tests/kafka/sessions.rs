//! Fetch sessions (KIP-227) over the wire.

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::FetchResponse;

use crate::harness::*;

fn partitions(of: &[(i32, i64)]) -> Vec<FetchTopic> {
    let partitions = of.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(1 << 20)
    });
    vec![FetchTopic::default().with_topic(topic_name("t")).with_partitions(partitions.collect())]
}

fn request(id: i32, epoch: i32, of: &[(i32, i64)]) -> FetchRequest {
    let topics = if of.is_empty() { Vec::new() } else { partitions(of) };
    FetchRequest::default().with_max_bytes(1 << 20).with_session_id(id).with_session_epoch(epoch).with_topics(topics)
}

fn answered(response: &FetchResponse) -> Vec<i32> {
    response.responses.iter().flat_map(|t| t.partitions.iter().map(|p| p.partition_index)).collect()
}

#[tokio::test]
async fn a_session_hears_only_of_news() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 3, &[]).await;
    let first = client.ask(12, request(0, 0, &[(0, 0), (1, 0), (2, 0)])).await;
    assert_eq!(answered(&first), [0, 1, 2]);
    let id = first.session_id;
    assert_ne!(id, 0);
    let quiet = client.ask(12, request(id, 1, &[])).await;
    assert_eq!((quiet.session_id, answered(&quiet)), (id, vec![]));
    client.produce(9, "t", batch(&["a"])).await;
    let news = client.ask(12, request(id, 2, &[])).await;
    assert_eq!(answered(&news), [0]);
    assert_eq!(decode(news.responses[0].partitions[0].records.clone()).len(), 1);
    // The client moves on in partition 0 and forgets partition 1.
    let forget = ForgottenTopic::default().with_topic(topic_name("t")).with_partitions(vec![1]);
    let moved = client.ask(12, request(id, 3, &[(0, 1)]).with_forgotten_topics_data(vec![forget])).await;
    assert!(answered(&moved).is_empty());
    let wrong = client.ask(12, request(id, 3, &[])).await;
    assert_eq!((wrong.error_code, wrong.session_id), (71, 0));
    let closed = client.ask(12, request(id, -1, &[(0, 1)])).await;
    assert_eq!((closed.error_code, closed.session_id, answered(&closed)), (0, 0, vec![0]));
    assert_eq!(client.ask(12, request(id, 4, &[])).await.error_code, 70);
}

#[tokio::test]
async fn a_topic_made_again_is_not_the_sessions_topic() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let metadata = client.ask(12, kafka_protocol::messages::MetadataRequest::default().with_topics(None)).await;
    let id = metadata.topics.iter().find(|t| t.name == Some(topic_name("t"))).expect("there").topic_id;
    let by_id = |session: i32, epoch: i32, mut topics: Vec<FetchTopic>| {
        topics.iter_mut().for_each(|topic| topic.topic_id = id);
        FetchRequest::default()
            .with_max_bytes(1000)
            .with_session_id(session)
            .with_session_epoch(epoch)
            .with_topics(topics)
    };
    let session = client.ask(13, by_id(0, 0, partitions(&[(0, 0)]))).await.session_id;
    let names = vec![topic_name("t")];
    client
        .ask(5, kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(1000))
        .await;
    client.create("t", 1, &[]).await;
    let answer = client.ask(13, by_id(session, 1, vec![])).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 103, "INCONSISTENT_TOPIC_ID");
    let mixed = client.ask(12, request(session, 2, &[(0, 0)])).await;
    assert_eq!(mixed.error_code, 106, "FETCH_SESSION_TOPIC_ID_ERROR");
}
