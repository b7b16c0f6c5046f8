//! 商品档案 and 客户档案: lists, entries by hand, import with a dry run, export. What an entry is and which rules it keeps is
//! said by [`crate::files`].

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::draft::entry_id;
use super::export;
use super::invoices::encoded;
use super::roles::Action;
use super::shell::{Shell, busy};
use super::upload::Upload;
use super::{Console, Posted, Shared, Visitor, Who, see_other, shell, with_status, words};
use crate::files::import::{self, Faulty, Outcome};
use crate::files::{Customer, Entry, Goods, Kind, RowFault, table};
use crate::store::StoreError;

/// Rows of a page.
const PAGE: usize = 100;

/// What the pages of a file are called.
struct Face {
    path: &'static str,
    title: &'static str,
    /// Texts of the columns.
    labels: &'static [&'static str],
}

fn face(kind: Kind) -> Face {
    match kind {
        Kind::Goods => Face {
            path: "/console/goods",
            title: "menu_goods",
            labels: &["item", "specification", "unit", "price_gross", "rate", "tax_code", "preferential", "policy", "zero_rate"],
        },
        Kind::Customers => Face {
            path: "/console/customers",
            title: "menu_customers",
            labels: &["buyer_type", "buyer", "buyer_number", "buyer_address", "buyer_bank", "mail", "telephone"],
        },
    }
}

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/goods", get(list::<Goods>).post(put::<Goods>))
        .route("/console/goods.csv", get(csv::<Goods>))
        .route("/console/goods.xlsx", get(xlsx::<Goods>))
        .route("/console/goods/import", post(take::<Goods>))
        .route("/console/goods/remove", post(remove::<Goods>))
        .route("/console/customers", get(list::<Customer>).post(put::<Customer>))
        .route("/console/customers.csv", get(csv::<Customer>))
        .route("/console/customers.xlsx", get(xlsx::<Customer>))
        .route("/console/customers/import", post(take::<Customer>))
        .route("/console/customers/remove", post(remove::<Customer>))
}

struct Row {
    id: String,
    cells: Vec<String>,
}

struct Field {
    name: String,
    label: String,
    value: String,
    required: bool,
}

#[derive(Template)]
#[template(path = "console/files.html")]
struct FilePage {
    shell: Shell,
    path: &'static str,
    heads: Vec<String>,
    rows: Vec<Row>,
    word: String,
    count: usize,
    next: Option<String>,
    fields: Vec<Field>,
    /// What is wrong with the entry that was written by hand.
    wrong: Vec<String>,
    faults: Vec<RowFault>,
    /// How many faults there are, those that are not shown too.
    faults_count: usize,
    may_issue: bool,
}

/// What a page says beside the list.
#[derive(Default)]
struct Said {
    notice: Option<(String, bool)>,
    /// The entry as it was written by hand, and what is wrong with it.
    written: Vec<String>,
    wrong: Vec<String>,
    faulty: Option<Faulty>,
}

async fn all<E: Entry>(console: &Console, visitor: &Visitor) -> Result<Vec<E>, Response<Body>> {
    let read = async { import::all(&mut *console.portal.readers.get().await?, visitor.tenant()).await };
    let read: Result<Vec<E>, StoreError> = read.await;
    read.map_err(|_| busy(console, visitor))
}

async fn shown<E: Entry>(console: &Console, visitor: &Visitor, said: Said) -> Response<Body> {
    let entries: Vec<E> = match all(console, visitor).await {
        Ok(entries) => entries,
        Err(page) => return page,
    };
    let (face, lang) = (face(E::KIND), visitor.language);
    let t = |key: &str| words::text(lang, key).to_owned();
    let word = visitor.query.get("word").unwrap_or_default().trim().to_owned();
    let first: usize = visitor.query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0);
    let wanted = word.to_lowercase();
    let rows: Vec<Row> = entries
        .iter()
        .map(|entry| Row { id: entry_id(&entry.key()), cells: entry.cells() })
        .filter(|row| row.cells.iter().any(|cell| cell.to_lowercase().contains(&wanted)))
        .collect();
    let next = first.saturating_add(PAGE);
    let field = |(place, label): (usize, &&str)| Field {
        name: format!("c{place}"),
        label: t(label),
        value: said.written.get(place).cloned().unwrap_or_default(),
        required: E::COLUMNS[place].required,
    };
    let bad = said.faulty.is_some() || !said.wrong.is_empty();
    let (text, good) = said.notice.map_or((None, true), |(text, good)| (Some(text), good));
    let (mut faults, faults_count) = said.faulty.map_or((Vec::new(), 0), |faulty| (faulty.faults, faulty.count));
    for fault in &mut faults {
        (fault.column, fault.text) = (words::said(lang, &fault.column), words::said(lang, &fault.text));
    }
    let page = FilePage {
        shell: Shell::new(console, visitor, face.title).with_notice(text, good),
        path: face.path,
        heads: face.labels.iter().map(|label| t(label)).collect(),
        next: (next < rows.len()).then(|| format!("word={}&from={next}", encoded(&word))),
        count: rows.len(),
        rows: rows.into_iter().skip(first).take(PAGE).collect(),
        word,
        fields: face.labels.iter().enumerate().map(field).collect(),
        wrong: said.wrong.iter().map(|text| words::said(lang, text)).collect(),
        faults,
        faults_count,
        may_issue: visitor.may(Action::Issue),
    };
    with_status(if bad { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &page)
}

/// `新增 1 条，修改 2 条，相同 3 条`.
fn counted(visitor: &Visitor, key: &str, outcome: Outcome) -> String {
    let text = words::text(visitor.language, key);
    let numbers = [("{new}", outcome.new), ("{changed}", outcome.changed), ("{same}", outcome.same)];
    numbers.into_iter().fold(text.to_owned(), |text, (mark, number)| text.replace(mark, &number.to_string()))
}

async fn list<E: Entry>(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    let number = |name: &str| visitor.query.get(name).and_then(|text| text.parse::<usize>().ok());
    let notice = match (number("new"), number("changed"), number("same")) {
        (Some(new), Some(changed), Some(same)) => Some((counted(&visitor, "imported", Outcome { new, changed, same }), true)),
        _ if visitor.query.get("done") == Some("removed") => {
            Some((words::text(visitor.language, "entry_removed").to_owned(), true))
        }
        _ => None,
    };
    shown::<E>(&console, &visitor, Said { notice, ..Said::default() }).await
}

fn imported<E: Entry>(outcome: Outcome) -> Response<Body> {
    let Outcome { new, changed, same } = outcome;
    see_other(&format!("{}?new={new}&changed={changed}&same={same}", face(E::KIND).path))
}

async fn apply<E: Entry>(
    console: &Console,
    visitor: &Visitor,
    entries: Vec<E>,
) -> Result<Result<Outcome, Faulty>, Response<Body>> {
    let tenant = visitor.tenant().to_owned();
    let done = console.portal.ledger.run(move |session| Box::pin(async move { import::apply(session, &tenant, &entries).await }));
    done.await.map_err(|_| busy(console, visitor))
}

/// An entry by hand: new, or in place of the one with its name.
async fn put<E: Entry>(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let cell = |place: usize| form.get(&format!("c{place}")).unwrap_or_default().trim().to_owned();
    let cells: Vec<String> = (0..E::COLUMNS.len()).map(cell).collect();
    let entry = match E::read(&cells) {
        Ok(entry) => entry,
        Err(faults) => {
            let named = |(place, text): (Option<usize>, String)| match place {
                Some(place) => format!("{}：{text}", E::COLUMNS[place].heading),
                None => text,
            };
            let wrong = faults.into_iter().map(named).collect();
            return shown::<E>(&console, &visitor, Said { written: cells, wrong, ..Said::default() }).await;
        }
    };
    match apply(&console, &visitor, vec![entry]).await {
        Ok(Ok(outcome)) => imported::<E>(outcome),
        Ok(Err(faulty)) => shown::<E>(&console, &visitor, Said { written: cells, faulty: Some(faulty), ..Said::default() }).await,
        Err(page) => page,
    }
}

/// A file: tried, or imported whole.
async fn take<E: Entry>(
    State(console): Shared,
    Extension(visitor): Who,
    Extension(form): Posted,
    Extension(upload): Extension<Upload>,
) -> Response<Body> {
    if upload.0.is_empty() {
        return shell::notice(&console, &visitor, StatusCode::UNPROCESSABLE_ENTITY, "file_missing");
    }
    // A workbook of megabytes is no work for a task that answers others.
    let read = tokio::task::spawn_blocking(move || match table::read(&upload.0) {
        Ok(rows) => import::read::<E>(&rows),
        Err(error) => Err(Faulty { faults: vec![RowFault::of_author(0, "", error.to_string())], count: 1 }),
    });
    let Ok(read) = read.await else { return busy(&console, &visitor) };
    let faulty = match read {
        Err(faulty) => faulty,
        Ok(entries) if form.get("step") == Some("import") => match apply(&console, &visitor, entries).await {
            Ok(Ok(outcome)) => return imported::<E>(outcome),
            Ok(Err(faulty)) => faulty,
            Err(page) => return page,
        },
        Ok(entries) => {
            let tried = async {
                let mut db = console.portal.readers.get().await?;
                import::dry_run(&mut *db, visitor.tenant(), &entries).await
            };
            match tried.await {
                Ok(Ok(outcome)) => {
                    let notice = Some((counted(&visitor, "tried", outcome), true));
                    return shown::<E>(&console, &visitor, Said { notice, ..Said::default() }).await;
                }
                Ok(Err(faulty)) => faulty,
                Err(_) => return busy(&console, &visitor),
            }
        }
    };
    shown::<E>(&console, &visitor, Said { faulty: Some(faulty), ..Said::default() }).await
}

async fn remove<E: Entry>(State(console): Shared, Extension(visitor): Who, Extension(form): Posted) -> Response<Body> {
    let wanted = form.get("id").unwrap_or_default();
    let entries: Vec<E> = match all(&console, &visitor).await {
        Ok(entries) => entries,
        Err(page) => return page,
    };
    if let Some(entry) = entries.iter().find(|entry| entry_id(&entry.key()) == wanted) {
        let (tenant, key) = (visitor.tenant().to_owned(), entry.key());
        let work = console
            .portal
            .ledger
            .run(move |session| Box::pin(async move { import::remove(session, &tenant, E::KIND, &key).await }));
        if work.await.is_err() {
            return busy(&console, &visitor);
        }
    }
    // An entry that is gone already is gone.
    see_other(&format!("{}?done=removed", face(E::KIND).path))
}

async fn csv<E: Entry>(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported::<E>(&console, &visitor, export::Form::Csv).await
}

async fn xlsx<E: Entry>(State(console): Shared, Extension(visitor): Who) -> Response<Body> {
    exported::<E>(&console, &visitor, export::Form::Xlsx).await
}

async fn exported<E: Entry>(console: &Console, visitor: &Visitor, form: export::Form) -> Response<Body> {
    let entries: Vec<E> = match all(console, visitor).await {
        Ok(entries) => entries,
        Err(page) => return page,
    };
    let made = tokio::task::spawn_blocking(move || {
        let rows: Vec<Vec<String>> = entries.iter().map(Entry::cells).collect();
        match form {
            export::Form::Csv => table::write_csv(E::COLUMNS, &rows),
            export::Form::Xlsx => table::write_xlsx(E::COLUMNS, &rows),
        }
    });
    let Ok(Ok(file)) = made.await else { return busy(console, visitor) };
    let ending = if form == export::Form::Csv { "csv" } else { "xlsx" };
    let name = format!("attachment; filename=\"{}.{ending}\"", E::KIND.as_str());
    let Ok(name) = HeaderValue::from_str(&name) else { return busy(console, visitor) };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type())), (header::CONTENT_DISPOSITION, name)];
    (headers, file).into_response()
}
