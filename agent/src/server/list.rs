//! `/pods`, the pods of this node with their statuses, and `/runningpods`, those of them that run.

use super::answer::{Answer, pieces};
use super::pods::{Pod, Pods};
use bytes::Bytes;

/// A `PodList` of those that are asked for, made a pod at a time.
pub fn pods(pods: &Pods, wanted: fn(&Pod) -> bool) -> Answer {
    let all = pods.all();
    let mut first = true;
    let items = (0..all.len()).filter_map(move |index| {
        let object = all.get(index).filter(|pod| wanted(pod))?.object.as_deref()?;
        let text = serde_json::to_string(object).ok()?;
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        Some(Bytes::from(format!("{comma}{text}")))
    });
    let head = Bytes::from_static(br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#);
    let tail = Bytes::from_static(b"]}\n");
    pieces("application/json", std::iter::once(head).chain(items).chain([tail]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pods::Container;
    use http_body_util::BodyExt;
    use k8s_openapi::api::core::v1::Pod as Object;
    use std::sync::Arc;

    fn pod(name: &str, running: bool) -> Pod {
        let mut object = Object::default();
        object.metadata.name = Some(name.to_owned());
        let container = Container { running, ..Container::default() };
        Pod { containers: vec![container], object: Some(Arc::new(object)), ..Pod::default() }
    }

    async fn names(answer: Answer) -> Vec<String> {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let list: k8s_openapi::List<Object> = serde_json::from_slice(&body).unwrap();
        list.items.into_iter().filter_map(|item| item.metadata.name).collect()
    }

    #[tokio::test]
    async fn a_list_has_every_pod_or_those_that_run() {
        let all = Pods::default();
        assert!(names(pods(&all, |_| true)).await.is_empty());
        all.replace(vec![pod("a", true), pod("b", false), Pod::default(), pod("c", true)]);
        assert_eq!(names(pods(&all, |_| true)).await, ["a", "b", "c"]);
        assert_eq!(names(pods(&all, |pod| pod.containers.iter().any(|own| own.running))).await, ["a", "c"]);
    }
}
