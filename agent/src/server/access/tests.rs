//! The gate, before an API server that is played here.

use super::*;
use crate::server::tests::api::{Asked, api_server};

async fn gate() -> (Gate, Asked) {
    let (client, asked) = api_server().await;
    let gate = Gate::new("worker-1");
    gate.use_client(client);
    (gate, asked)
}

async fn status(gate: &Gate, subject: Option<Subject>, token: Option<&str>, path: &str) -> u16 {
    let admitted = gate.admit(subject, token, &Method::GET, path).await;
    admitted.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
}

#[tokio::test]
async fn nobody_gets_in_without_a_name() {
    let (gate, asked) = gate().await;
    for header in [None, Some("Basic Z29vZA=="), Some("good"), Some("Bearer "), Some("")] {
        assert_eq!(status(&gate, None, header, "/healthz").await, 401, "{header:?}");
    }
    assert!(asked.lock().unwrap().is_empty(), "nothing is asked about nobody");
    for token in ["Bearer bad", "Bearer odd"] {
        assert_eq!(status(&gate, None, Some(token), "/metrics").await, 401, "{token}");
    }
}

#[tokio::test]
async fn a_token_is_asked_about_once_and_each_right_once() {
    let (gate, asked) = gate().await;
    for _ in 0..3 {
        assert_eq!(status(&gate, None, Some("Bearer good"), "/metrics/resource").await, 200);
        assert_eq!(status(&gate, None, Some("bearer good"), "/stats/summary").await, 403);
        assert_eq!(status(&gate, None, Some("Bearer bad"), "/metrics").await, 401);
    }
    let groups = r#"["g","system:authenticated"]"#;
    let expected = [
        "token good".to_owned(),
        format!("alice {groups} get nodes/metrics worker-1"),
        format!("alice {groups} get nodes/stats worker-1"),
        "token bad".to_owned(),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_narrow_right_or_the_wide_one_suffices() {
    let (gate, asked) = gate().await;
    let subject = Subject { name: "bob".into(), organizations: vec!["g".into()] };
    assert_eq!(status(&gate, Some(subject), Some("Bearer bad"), "/pods").await, 200);
    let groups = r#"["g","system:authenticated"]"#;
    let expected =
        [format!("bob {groups} get nodes/pods worker-1"), format!("bob {groups} get nodes/proxy worker-1")];
    assert_eq!(*asked.lock().unwrap(), expected, "the certificate speaks, not the token");
    let stranger = Subject { name: "eve".into(), organizations: Vec::new() };
    let refused = gate.admit(Some(stranger), None, &Method::GET, "/healthz").await.unwrap_err();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let words = "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n";
    assert_eq!(refused.message, words);
}

#[tokio::test]
async fn without_the_api_server_nobody_gets_in() {
    let gate = Gate::new("worker-1");
    assert_eq!(status(&gate, None, Some("Bearer good"), "/metrics").await, 401);
    let subject = || Some(Subject { name: "bob".into(), organizations: vec!["g".into()] });
    assert_eq!(status(&gate, subject(), None, "/metrics").await, 500);
    let (client, _) = api_server().await;
    gate.use_client(client);
    assert_eq!(status(&gate, subject(), None, "/metrics").await, 200, "that it was away is forgotten");
}
