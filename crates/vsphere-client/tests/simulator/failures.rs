//! What fails, and what is known of it afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vsphere_client::{Client, Error, FaultClass, Outcome, Property, Scope, Select};

use crate::lab::{Lab, always, estate};

#[tokio::test]
async fn a_lost_answer_is_told_from_a_call_that_was_not_sent() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let estate = estate(&client).await;
    for (at, is_there) in [("before", false), ("after", true)] {
        lab.admin("POST", "/journal/reset", "").await;
        lab.admin("POST", "/cut", &format!("{{\"write\":0,\"at\":\"{at}\"}}")).await;
        let lost = client.writer(&always).create_folder(&estate.tenants, at).await.unwrap_err();
        assert!(matches!(lost, Error::LostAnswer { .. }), "{at}: {lost:?}");
        assert_eq!(lost.outcome(), Outcome::Unknown);
        let found = client.find_by_inventory_path(&format!("DC0/vm/Tenants/{at}")).await.unwrap();
        assert_eq!(found.is_some(), is_there, "{at}");
    }
    lab.admin("POST", "/pause", "").await;
    let unsent = client.writer(&always).create_folder(&estate.tenants, "later").await.unwrap_err();
    assert!(matches!(unsent, Error::Connect(_)), "{unsent:?}");
    assert_eq!(unsent.outcome(), Outcome::NotDone);
    lab.admin("POST", "/resume", "").await;
    client.writer(&always).create_folder(&estate.tenants, "later").await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_ends_by_the_deadline() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut config = lab.config();
    config.timeouts.call = Duration::from_millis(700);
    let client = Client::connect(config).await.unwrap();
    let tenants = estate(&client).await.tenants;
    lab.admin("POST", "/delay?ms=3000", "").await;
    let read = client.current_time().await.unwrap_err();
    assert!(matches!(read, Error::Timeout { .. }), "{read:?}");
    let write = client.writer(&always).create_folder(&tenants, "slow").await.unwrap_err();
    assert!(matches!(write, Error::LostAnswer { .. }), "{write:?}");
}

#[tokio::test]
async fn no_permit_means_nothing_is_sent() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let tenants = estate(&client).await.tenants;
    let never = || Err("not the leader".to_owned());
    let refused = client.writer(&never).create_folder(&tenants, "a").await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(why) if why == "not the leader"));
    assert_eq!(client.calls().get("CreateFolder"), None);

    // Lost between the first try and the one after the login.
    let asked = AtomicUsize::new(0);
    let (asked, tenants) = (std::sync::Arc::new(asked), tenants);
    let count = asked.clone();
    let once =
        move || if count.fetch_add(1, Ordering::SeqCst) == 0 { Ok(()) } else { Err("lost".to_owned()) };
    lab.expire_sessions().await;
    let refused = client.writer(&once).create_folder(&tenants, "a").await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!((asked.load(Ordering::SeqCst), client.calls()["CreateFolder"]), (2, 1));
}

#[tokio::test]
async fn faults_and_http_errors() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let estate = estate(&client).await;
    let rule = r#"{"method":"PowerOnVM_Task","type":"TaskInProgress","message":"busy","max":1}"#;
    lab.admin("POST", "/fault", rule).await;
    let busy = client.writer(&always).power_on(&estate.template).await.unwrap_err();
    assert_eq!(busy.class(), Some(FaultClass::Busy));
    assert!(busy.is_transient());
    lab.admin("POST", "/http?code=503", "").await;
    let away = client.current_time().await.unwrap_err();
    assert!(matches!(away, Error::Http { status: 503 }), "{away:?}");
    client.current_time().await.unwrap();
}

#[tokio::test]
async fn what_may_not_be_read_is_not_absent() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let tenants = estate(&client).await.tenants;
    let folder = client.writer(&always).create_folder(&tenants, "hidden").await.unwrap();
    lab.admin("POST", "/hide?folder=Tenants/hidden", "").await;
    let mut seen = vec![];
    let select = [Select { kind: "Folder", paths: &["name"] }];
    let scope = [folder.clone(), tenants];
    client.retrieve(Scope::Objects(&scope), &select, 10, |o| seen.push(o)).await.unwrap();
    let object = seen.iter().find(|o| o.mor == folder).unwrap();
    assert!(
        matches!(object.property("name"), Property::Unreadable(f) if f.class() == FaultClass::Permission)
    );
    assert_eq!(seen.len(), 2);
    assert!(client.read(&folder, &["name"]).await.unwrap().is_some());
}

#[tokio::test]
async fn only_the_given_ca_is_trusted() {
    let (Some(lab), Some(other)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    let mut config = lab.config();
    config.ca_pem = other.config().ca_pem;
    let refused = Client::connect(config.clone()).await.err().unwrap();
    assert!(matches!(refused, Error::Connect(_)), "{refused:?}");
    config.ca_pem = b"nothing".to_vec();
    assert!(matches!(Client::new(config), Err(Error::Config(_))));
}
