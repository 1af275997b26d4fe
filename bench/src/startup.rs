//! How long from the start of the process until `/health/ready` answers 200?

use crate::Result;
use crate::figures::{Sample, Section, time};
use crate::options::Options;
use crate::server::{Data, Database, Server};

const STARTS: usize = 10;

pub async fn run(databases: &[Database], options: &Options) -> Result<Section> {
    let starts = if options.quick { 1 } else { STARTS };
    let mut rows = Vec::new();
    for &database in databases {
        let (mut first, mut again) = (Sample::default(), Sample::default());
        for _ in 0..starts {
            let data = Data::new(database).await?;
            for sample in [&mut first, &mut again] {
                let server = Server::start(&data, &[]).await?;
                sample.push(server.ready_after);
                server.end().await?;
            }
            data.remove().await?;
        }
        for (what, sample) in [
            ("first: migrations, key, admin", first),
            ("again, after a kill", again),
        ] {
            let [least, _, _, greatest] = sample.spread()?;
            rows.push(vec![
                database.name().to_owned(),
                what.to_owned(),
                time(sample.median()?),
                format!("{} to {}", time(least), time(greatest)),
            ]);
        }
    }
    Ok(Section {
        name: "startup",
        title: "Start-up",
        columns: vec!["database", "start", "median", "range"],
        rows,
        notes: vec![format!(
            "{starts} starts each, from the start of the process to the first 200 of `/health/ready`, asked every millisecond."
        )],
    })
}
