//! `GET /v1/responses/{id}/input_items`: shape, order, pages.

use serde_json::{Value, json};

use crate::support::{World, id_of};

fn texts(page: &Value) -> Vec<&str> {
    let data = page["data"].as_array().expect("data");
    data.iter()
        .filter_map(|item| item["content"][0]["text"].as_str())
        .collect()
}

#[tokio::test]
async fn pages_in_both_orders() {
    let world = World::start().await;
    let client = world.client();
    let input: Vec<Value> = (0..45)
        .map(|n| json!({"role": "user", "content": format!("m{n}")}))
        .collect();
    for background in [false, true] {
        let body = json!({"model": "chat?tokens=1", "input": input, "background": background});
        let id = id_of(&world.create(body).await);
        let path = format!("/v1/responses/{id}/input_items");

        let page = client.get(&path).await.ok().json;
        assert_eq!(page["object"], "list");
        assert_eq!(page["has_more"], true);
        let newest: Vec<String> = (25..45).rev().map(|n| format!("m{n}")).collect();
        assert_eq!(texts(&page), newest);
        assert_eq!(page["first_id"], page["data"][0]["id"]);
        assert_eq!(page["last_id"], page["data"][19]["id"]);
        assert_eq!(page["data"][0]["type"], "message");
        assert_eq!(page["data"][0]["content"][0]["type"], "input_text");

        for (order, expected) in [
            ("asc", (0..45).map(|n| format!("m{n}")).collect::<Vec<_>>()),
            ("desc", (0..45).rev().map(|n| format!("m{n}")).collect()),
        ] {
            let mut all: Vec<String> = Vec::new();
            let mut after = String::new();
            loop {
                let page = client
                    .get(&format!("{path}?order={order}&limit=7{after}"))
                    .await
                    .ok()
                    .json;
                all.extend(texts(&page).into_iter().map(str::to_owned));
                if page["has_more"] == false {
                    break;
                }
                after = format!("&after={}", page["last_id"].as_str().expect("an id"));
            }
            assert_eq!(all, expected, "{order}");
        }
        for limit in ["0", "101", "x"] {
            let reply = client.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(reply.status, 400, "{}", reply.text);
            assert_eq!(reply.json["error"]["param"], "limit");
        }
        let reply = client.get(&format!("{path}?after=msg_nothing")).await;
        reply.error(400, Some("after"), Some("invalid_value"));
        client
            .get(&format!("{path}?include[]=message.input_image.image_url"))
            .await
            .ok();
        for path in [path.as_str(), path.trim_end_matches("/input_items")] {
            let reply = client.get(&format!("{path}?include[]=everything")).await;
            reply.error(400, Some("include[0]"), Some("invalid_value"));
            let good = format!("{path}?include[]=message.output_text.logprobs");
            client.get(&good).await.ok();
        }
    }
}
