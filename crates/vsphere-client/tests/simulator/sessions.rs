//! Sessions: one login for all, what dies with a session, refused passwords.

use std::time::Duration;

use vsphere_client::{Client, Credentials, Error, Scope, Select, Watch};

use crate::lab::{Lab, PASSWORD, USER, always, estate};

const NAMES: &[Select<'_>] = &[Select { kind: "VirtualMachine", paths: &["name"] }];

#[tokio::test]
async fn an_ended_session_costs_one_login() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let estate = estate(&client).await;
    lab.expire_sessions().await;
    let calls: Vec<_> = (0..8)
        .map(|n| {
            let (client, parent) = (client.clone(), estate.tenants.clone());
            tokio::spawn(async move { client.writer(&always).create_folder(&parent, &format!("f{n}")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((client.calls()["Login"], client.generation()), (2, 2));
}

#[tokio::test]
async fn views_and_watches_die_with_the_session() {
    let Some(lab) = Lab::start(&[]) else { return };
    let client = lab.client().await;
    let estate = estate(&client).await;
    let view = client.container_view(&estate.vm_folder, &["VirtualMachine"]).await.unwrap();
    let mut watch = Watch::below(client.clone(), &estate.vm_folder, NAMES).await.unwrap();
    assert!(!watch.next(Duration::from_secs(5)).await.unwrap().changes.is_empty());
    assert_eq!(watch.next(Duration::from_secs(1)).await.unwrap().changes, []);
    lab.expire_sessions().await;

    assert!(matches!(watch.next(Duration::from_secs(5)).await, Err(Error::SessionLost)));
    let lost = client.retrieve(Scope::View(&view), NAMES, 10, |o| panic!("{o:?}")).await;
    assert!(matches!(lost, Err(Error::SessionLost)), "{lost:?}");
    client.destroy_view(view).await.unwrap();
    watch.close().await.unwrap();

    // What does not live in a session goes on by itself, and a new watch does.
    lab.expire_sessions().await;
    assert!(client.read(&estate.tenants, &["name"]).await.unwrap().is_some());
    lab.expire_sessions().await;
    let mut watch = Watch::below(client.clone(), &estate.vm_folder, NAMES).await.unwrap();
    assert!(!watch.next(Duration::from_secs(5)).await.unwrap().changes.is_empty());
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut config = lab.config();
    config.credentials.password = "wrong-hunter2".into();
    let client = Client::new(config).unwrap();
    for _ in 0..3 {
        let refused = client.current_time().await.unwrap_err();
        assert!(matches!(refused, Error::InvalidLogin { retry_in } if retry_in > Duration::from_secs(50)));
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    assert_eq!(client.calls()["Login"], 1);
    client.set_credentials(Credentials { user: USER.into(), password: PASSWORD.into() }).await;
    client.current_time().await.unwrap();
    assert_eq!(client.calls()["Login"], 2);
    client.logout().await.unwrap();
    assert_eq!(client.calls()["Logout"], 1);
}
