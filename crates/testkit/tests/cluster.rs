//! A cluster is whole when it is handed out.

use bowline_testkit::{RedisCluster, Reply, skips_redis};

#[tokio::test]
async fn every_slot_has_a_master_and_clients_are_redirected() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let mut owners = 0;
    for node in cluster.nodes() {
        match node.command(&["SET", "key", "value"]).await {
            Ok(reply) => {
                assert_eq!(reply, Reply::Status("OK".into()));
                owners += 1;
            }
            Err(error) => assert!(error.to_string().contains("MOVED 12539"), "{error}"),
        }
    }
    assert_eq!(owners, 1);
}

#[tokio::test]
async fn a_cluster_client_finds_its_way_through_the_first_node() {
    if skips_redis() {
        return;
    }
    let cluster = RedisCluster::start(3).await.unwrap();
    let client = redis::cluster::ClusterClient::new([cluster.url()]).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let _: () = redis::cmd("SET")
            .arg(key)
            .arg(1)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    let mut keys = 0;
    for node in cluster.nodes() {
        keys += node.command(&["DBSIZE"]).await.unwrap().int().unwrap();
    }
    assert_eq!(keys, 6);
}
