//! What a broker cannot go below on this machine, in this minute: a loop that receives from a socket, writes to a file
//! and syncs it, and one that reads a file and sends it.
//!
//! It parses nothing and keeps nothing; it answers a byte for each batch, and only where the sender waits for answers. The
//! CPU time is that of its one thread, as the system counts it.

use super::some_size;
use crate::clock::now;
use crate::failure::{Failure, Outcome};
use crate::{json, units};
use clap::{Args, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write, stdout};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that is received or read in one go, in bytes: a connection's share of a broker's turn.
const TURN: usize = 1 << 20;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which way
    #[arg(value_enum, default_value_t = Direction::In)]
    direction: Direction,
    /// How many bytes
    #[arg(short = 'n', long, default_value = "1GB", value_parser = some_size)]
    total: u64,
    /// Bytes the sender hands over at a time
    #[arg(short = 'B', long, default_value = "16KiB", value_parser = some_size)]
    batch_size: u64,
    /// Batches under way at once: all of them, up to 1 MiB, are received before they are written, synced and answered. 0
    /// for as many as the socket takes: what each receive brings is written and synced, and nothing answered
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=10_000))]
    window: u32,
    /// Do not sync what was written
    #[arg(long)]
    no_sync: bool,
    /// Where the file is made; it is removed at the end. By default the current directory, where a broker's data is too
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Direction {
    /// From a socket to a file
    In,
    /// From a file to a socket
    Out,
}

/// What a thread used.
struct Used {
    cpu: Duration,
    wall: Duration,
}

/// Runs `klamm bench floor`.
pub(crate) fn run(args: &Arguments) -> Outcome {
    let path = args.directory.join(format!("klamm-floor-{}", std::process::id()));
    let outcome = measure(args, &path);
    // Whatever happened, the file goes; it may not be there.
    let _ = std::fs::remove_file(&path);
    let used = outcome.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    print(args, &used)
}

fn measure(args: &Arguments, path: &Path) -> std::io::Result<Used> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    peer.set_nodelay(true)?;
    let (total, batch) = (args.total, usize::try_from(args.batch_size).unwrap_or(TURN));
    let window = args.window as usize;
    match args.direction {
        Direction::In if window > 0 => {
            let batches = total.div_ceil(batch as u64);
            let sender = std::thread::spawn(move || send_batches(peer, batches, batch, window));
            let most = (TURN / batch).clamp(1, window);
            let used = timed(|| receive_batches(stream, &mut file, batches, (batch, most), !args.no_sync))?;
            joined(sender)?;
            Ok(used)
        }
        Direction::In => {
            let sender = std::thread::spawn(move || send_noise(peer, total, batch));
            let used = timed(|| receive(stream, &mut file, total, !args.no_sync))?;
            joined(sender)?;
            Ok(used)
        }
        Direction::Out => {
            write_noise(&mut file, total)?;
            let receiver = std::thread::spawn(move || swallow(peer, total));
            let used = timed(|| send_file(stream, &mut file, total))?;
            joined(receiver)?;
            Ok(used)
        }
    }
}

fn joined(thread: std::thread::JoinHandle<std::io::Result<()>>) -> std::io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the other side panicked")))
}

/// Runs `work` on this thread and says what it used.
fn timed(work: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<Used> {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    let (started, before) = (now(), cpu());
    work()?;
    Ok(Used {
        cpu: cpu().saturating_sub(before),
        wall: now() - started,
    })
}

/// Receives what is there, writes it, syncs it, and begins again.
fn receive(mut stream: TcpStream, file: &mut File, total: u64, sync: bool) -> std::io::Result<()> {
    let mut buffer = vec![0; TURN];
    let mut left = total;
    while left > 0 {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&buffer[..count])?;
        if sync {
            file.sync_data()?;
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

/// Receives up to `most` batches of `batch` bytes, writes them, syncs them, answers them, and begins again.
fn receive_batches(
    mut stream: TcpStream,
    file: &mut File,
    batches: u64,
    (batch, most): (usize, usize),
    sync: bool,
) -> std::io::Result<()> {
    let (mut buffer, answers) = (vec![0; batch * most], vec![0; most]);
    let mut left = batches;
    while left > 0 {
        let count = usize::try_from(left).map_or(most, |left| left.min(most));
        let bytes = &mut buffer[..count * batch];
        stream.read_exact(bytes)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_data()?;
        }
        stream.write_all(&answers[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Sends batches of `batch` bytes, with no more than `window` of them unanswered.
fn send_batches(mut stream: TcpStream, batches: u64, batch: usize, window: usize) -> std::io::Result<()> {
    let (noise, mut answers) = (noise(batch), vec![0; window]);
    let (mut left, mut under_way) = (batches, 0);
    while left > 0 || under_way > 0 {
        while left > 0 && under_way < window {
            stream.write_all(&noise)?;
            (left, under_way) = (left - 1, under_way + 1);
        }
        match stream.read(&mut answers)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            answered => under_way -= answered,
        }
    }
    Ok(())
}

fn send_noise(mut stream: TcpStream, total: u64, batch: usize) -> std::io::Result<()> {
    let noise = noise(batch);
    let mut left = total;
    while left > 0 {
        let count = left.min(noise.len() as u64);
        stream.write_all(&noise[..usize::try_from(count).unwrap_or(0)])?;
        left -= count;
    }
    Ok(())
}

fn send_file(mut stream: TcpStream, file: &mut File, total: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; TURN];
    let mut left = total;
    file.rewind()?;
    while left > 0 {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&buffer[..count])?;
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

fn swallow(mut stream: TcpStream, total: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; TURN];
    let mut left = total;
    while left > 0 {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

fn write_noise(file: &mut File, total: u64) -> std::io::Result<()> {
    let noise = noise(TURN);
    let mut left = total;
    while left > 0 {
        let count = left.min(noise.len() as u64);
        file.write_all(&noise[..usize::try_from(count).unwrap_or(0)])?;
        left -= count;
    }
    file.sync_data()
}

/// Bytes that are not all the same.
fn noise(length: usize) -> Vec<u8> {
    (0..length.max(1)).map(|i| (i.wrapping_mul(31) >> 3) as u8).collect()
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with a few digits")]
fn print(args: &Arguments, used: &Used) -> Outcome {
    let name = match (args.direction, args.no_sync) {
        (Direction::In, false) => "floor_in_fsync",
        (Direction::In, true) => "floor_in",
        (Direction::Out, _) => "floor_out",
    };
    let per_gigabyte = used.cpu.as_secs_f64() / (args.total as f64 / 1e9);
    let rate = args.total as f64 / used.wall.as_secs_f64().max(1e-9);
    let text = if args.json {
        json::object(&[
            ("bench", json::string(name)),
            ("bytes", args.total.to_string()),
            ("seconds", json::number(used.wall.as_secs_f64())),
            ("bytes_per_second", json::number(rate)),
            ("cpu_seconds", json::number(used.cpu.as_secs_f64())),
            ("cpu_seconds_per_gb", json::number(per_gigabyte)),
        ])
    } else {
        let (bytes, seconds) = (units::bytes(args.total), used.wall.as_secs_f64());
        format!(
            "{name}: {bytes} in {seconds:.2} s: {:.1} MB/s, {per_gigabyte:.3} CPU-s/GB",
            rate / 1e6
        )
    };
    writeln!(stdout(), "{text}").map_err(|error| Failure::printing(&error))
}
