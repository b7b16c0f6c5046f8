//! Who may read the figures.

use crate::support::Broker;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn with(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn where_a_token_is_set_the_figures_are_for_whoever_shows_it_and_it_opens_nothing_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let broker = Broker::start_with(|config| config.metrics.token_file = Some(file.path().display().to_string())).await;
    let get = async |path: &str, head: &str| broker.raw("GET", path, head, b"").await;
    let wrong =
        [String::new(), with("guessed"), with(&TOKEN[1..]), with(&broker.admin), format!("authorization: Basic {TOKEN}\r\n")];
    for head in wrong {
        let answer = get("/metrics", &head).await;
        let problem = answer.problem(401, "unauthorized");
        assert!(problem["detail"].as_str().unwrap().contains("metrics.token_file"), "{head}: {problem}");
        assert!(!answer.text().contains("taxdisk_jobs"), "{head}");
    }
    let answer = get("/metrics", &with(TOKEN)).await;
    assert!(answer.status == 200 && answer.text().contains("taxdisk_jobs_assigned"), "{}", answer.text());
    for path in ["/v1/jobs", "/v1/agents", "/v1/keys"] {
        get(path, &with(TOKEN)).await.problem(401, "unauthorized");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(path, "").await.status, 200, "{path} is everybody's still");
    }
}

#[tokio::test]
async fn where_no_token_is_set_everybody_reads_the_figures() {
    let broker = Broker::start().await;
    for head in [String::new(), with("whatever")] {
        assert_eq!(broker.raw("GET", "/metrics", &head, b"").await.status, 200);
    }
}
