//! What one side writes the other reads.

use super::*;
use crate::node::{Layer, load};

fn back<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
    text
}

#[test]
fn a_request_is_one_object_that_names_its_verb() {
    assert_eq!(back(&Request::List), r#"{"request":"list"}"#);
    let stop = |signal| Request::Stop { name: "web".into(), grace: Some(3), signal };
    // Older monitors understand it.
    assert_eq!(back(&stop(None)), r#"{"request":"stop","name":"web","grace":3}"#);
    assert_eq!(back(&stop(Some(2))), r#"{"request":"stop","name":"web","grace":3,"signal":2}"#);
    let events = |all| Request::Events { since: None, until: None, all };
    assert_eq!(back(&events(false)), r#"{"request":"events","since":null,"until":null}"#);
    back(&events(true));
    let (object, id, action) = (Object::Image, "nginx:1".to_owned(), "pull".to_owned());
    let attributes = [("name".to_owned(), "nginx".to_owned())].into();
    back(&Request::Tell(Box::new(Happening { object, id, action, attributes })));
    assert_eq!(
        back(&Request::Resize(Size { rows: 24, columns: 80 })),
        r#"{"request":"resize","rows":24,"columns":80}"#
    );
}

#[test]
fn a_container_travels_as_node_toml_has_it() {
    let text = r#"
        [containers.web]
        image = "nginx"
        env = { A = "1" }
        memory = "64M"
        restart = "on-failure:3"
        stop-grace = "1500ms"
        mounts = [{ type = "bind", source = "/a", target = "/b" }, { type = "tmpfs", target = "/c", size = 4096 }]
    "#;
    let layer = Layer { origin: "test".into(), text: text.into() };
    let container = load(&[layer]).unwrap().containers.remove("web").unwrap();
    let name = Some("web".parse().unwrap());
    back(&Request::Create(Box::new(Create {
        name,
        container,
        image: "sha256:ab".into(),
        remove: true,
        stdin_once: true,
        nameless: vec!["0a".parse().unwrap()],
        seccomp: None,
        sandbox: None,
    })));
}

#[test]
fn an_unknown_word_is_an_error() {
    assert!(serde_json::from_str::<Request>(r#"{"request":"dance"}"#).is_err());
    assert!(
        serde_json::from_str::<Request>(r#"{"request":"kill","name":"a","signal":9,"now":true}"#).is_err()
    );
}

#[test]
fn a_failure_has_a_code_for_programs_and_a_line_for_people() {
    let failure = Failure { code: Code::NotFound, message: "container \"web\": there is none".into() };
    let text = back(&Reply::Failed(failure));
    assert!(text.starts_with(r#"{"reply":"failed","code":"not-found","message":"#), "{text}");
    back(&Reply::Exited { status: 137, out_of_memory: true, error: None });
}
