//! No secret can be seen in the list of processes, whoever looks.

use restic::Password;

use crate::ground::{Ground, PASSWORD, all_of, bounds, named, until};

/// Whether any process has the word in its arguments or environment.
fn is_seen(word: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let files = entries.flat_map(|entry| ["cmdline", "environ"].map(|file| entry.path().join(file)));
    files
        .filter_map(|file| std::fs::read(file).ok())
        .any(|bytes| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
}

#[tokio::test]
async fn no_password_is_in_arguments_or_environments() {
    let Some(ground) = Ground::new().await else { return };
    let (from, mut into) = std::io::pipe().unwrap();
    let (backup, bounds) = (named("/a/b"), bounds());
    let running = ground.repository.backup(&backup, all_of(from), |_| (), &bounds);
    let looking = async {
        until("it is at work", || !ground.files("locks").is_empty()).await;
        let ours = crate::ground::processes(ground.path().to_str().unwrap());
        assert!(!ours.is_empty());
        for id in &ours {
            let environment = std::fs::read_to_string(format!("/proc/{id}/environ")).unwrap();
            assert!(
                environment.split('\0').all(|it| !it.starts_with("HOME=") && !it.contains("CARGO")),
                "{environment}"
            );
        }
        let seen = is_seen(PASSWORD);
        std::io::Write::write_all(&mut into, b"some").unwrap();
        drop(into);
        assert!(!seen);
    };
    tokio::join!(running, looking).0.unwrap();
    let second = Password::new("vk-canary-5b1f3c-second").unwrap();
    let adding = ground.repository.add_key(&second, &bounds);
    let looking = async {
        for _ in 0..40 {
            assert!(!is_seen("vk-canary-5b1f3c-second"));
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    };
    tokio::join!(adding, looking).0.unwrap();
    // The look itself sees what is there to see.
    let mut shown =
        std::process::Command::new("sleep").arg("30").env("CANARY", "vk-canary-shown").spawn().unwrap();
    let seen = is_seen("vk-canary-shown");
    shown.kill().unwrap();
    shown.wait().unwrap();
    assert!(seen);
}
