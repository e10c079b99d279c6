//! Klamm on tokio: sockets, disks, timers; runs shards on cores.
