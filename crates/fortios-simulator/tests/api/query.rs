//! Filters, pages, formats.

use serde_json::json;

use crate::peer::{Peer, policy};

const ADDRESS: &str = "cmdb/firewall/address";

async fn with_addresses() -> Peer {
    let peer = Peer::start().await;
    peer.delete(ADDRESS).await.well("purge");
    for (name, subnet, color) in [
        ("web-1", "10.0.1.0/24", 1),
        ("web-2", "10.0.2.0/24", 2),
        ("db,1", "10.0.3.0/24", 10),
        ("all", "0.0.0.0/0", 0),
    ] {
        peer.post(ADDRESS, json!({"name": name, "subnet": subnet, "color": color})).await.well(name);
    }
    peer
}

#[tokio::test]
async fn filters() {
    let peer = with_addresses().await;
    let rows: [(&str, &[&str], &str); 14] = [
        ("name==web-1", &["web-1"], "equal"),
        ("name==WEB-1", &["web-1"], "in whatever case"),
        ("name!=web-1", &["web-2", "db,1", "all"], "not equal"),
        ("name=@web", &["web-1", "web-2"], "contains"),
        ("name!@web", &["db,1", "all"], "does not contain"),
        ("name==*eb-", &["web-1", "web-2"], "contains, in the other spelling"),
        ("color>=2", &["web-2", "db,1"], "numbers are compared as numbers"),
        ("color>2", &["db,1"], "more"),
        ("color<2", &["web-1", "all"], "less; what is not set has its default"),
        ("color<=1", &["web-1", "all"], "at most"),
        ("name==web-1,name==web-2", &["web-1", "web-2"], "or"),
        ("name==web-1,web-2", &["web-1", "web-2"], "or, without saying it again"),
        ("name=@web&filter=color==2", &["web-2"], "and"),
        (r"name==db\,1", &["db,1"], "a comma of the name's own"),
    ];
    for (filter, expected, reason) in rows {
        let answer = peer.get(&format!("{ADDRESS}?filter={filter}")).await.well(reason);
        assert_eq!(answer.column("name"), expected, "{reason}: {filter}");
        assert_eq!(answer.body["matched_count"], expected.len(), "{reason}");
        assert_eq!(answer.body["size"], 4, "{reason}");
    }
    peer.post("cmdb/firewall/policy", policy(1)).await.well("policy");
    for (filter, expected) in [("srcaddr.name==all", 1), ("srcintf==port1", 1), ("dstintf==port1", 0)] {
        let answer = peer.get(&format!("cmdb/firewall/policy?filter={filter}")).await;
        assert_eq!(answer.results().len(), expected, "{filter}");
    }
}

#[tokio::test]
async fn pages() {
    let peer = with_addresses().await;
    let rows: [(&str, &[&str], usize, bool); 5] = [
        ("", &["web-1", "web-2", "db,1", "all"], 3, false),
        ("count=2", &["web-1", "web-2"], 1, true),
        ("start=2&count=2", &["db,1", "all"], 3, false),
        ("start=4&count=2", &[], 0, false),
        ("sort=name,dsc&count=1", &["web-2"], 0, true),
    ];
    for (page, expected, next, limited) in rows {
        let answer = peer.get(&format!("{ADDRESS}?{page}")).await.well(page);
        assert_eq!(answer.column("name"), expected, "{page}");
        assert_eq!(answer.body["next_idx"], next, "{page}");
        assert_eq!(answer.body["limit_reached"] == true, limited, "{page}");
        assert_eq!(answer.body["matched_count"], 4, "{page}");
    }
}

#[tokio::test]
async fn formats() {
    let peer = with_addresses().await;
    let answer = peer.get(&format!("{ADDRESS}/web-1?format=subnet|color")).await;
    let expected = json!({"q_origin_key": "web-1", "subnet": "10.0.1.0 255.255.255.0", "color": 1});
    assert_eq!(answer.results(), [expected], "what was asked for, and always the key");
    let answer = peer.get(&format!("{ADDRESS}/all?exclude-default-values=1")).await;
    let names: Vec<&String> = answer.results()[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["name", "q_origin_key", "uuid"]);
    let schema = peer.get(&format!("{ADDRESS}?action=schema")).await.well("schema");
    assert_eq!(schema.body["results"]["mkey"], "name");
    assert_eq!(schema.body["results"]["children"]["color"]["max-value"], 32);
    let default = peer.get("cmdb/firewall/policy?action=default").await.well("default");
    assert_eq!(default.body["results"]["logtraffic"], "utm");
    peer.get(&format!("{ADDRESS}?datasource=1&with_meta=1&skip=1&unfiltered_count=1"))
        .await
        .well("tolerated");
}
