use std::net::IpAddr;

use tokio::net::{UnixStream, unix::SocketAddr};

use super::*;
use crate::ending::End;
use crate::serve::line::Socket;

const LIMITS: Limits = Limits {
    all: 4,
    address: 3,
    head: Duration::from_secs(2),
    idle: Duration::from_secs(4),
};

struct World {
    crowd: Arc<Crowd>,
    /// The clients' ends, which keep the connections there.
    others: Vec<UnixStream>,
}

impl World {
    fn new() -> Self {
        Self {
            crowd: Crowd::new(LIMITS),
            others: Vec::new(),
        }
    }

    fn come(&mut self, address: &str, exempt: bool) -> Result<(Arc<Line>, Seat), Refusal> {
        let (own, other) = UnixStream::pair().unwrap();
        let _: SocketAddr = own.peer_addr().unwrap();
        self.others.push(other);
        let peer: IpAddr = address.parse().unwrap();
        let ticks = self.crowd.ticks();
        let line = Arc::new(Line::new(
            Socket::Unix(own),
            Some(peer),
            false,
            End::new().1,
            ticks,
        ));
        let seat = self.crowd.enter(&line, exempt)?;
        Ok((line, seat))
    }

    fn ticks(&self, ticks: u32) {
        for _ in 0..ticks {
            self.crowd.tick();
        }
    }
}

#[tokio::test]
async fn who_is_at_work_is_never_ended_for_others() {
    let mut world = World::new();
    let all: Vec<_> = (0..4)
        .map(|n| world.come(&format!("192.0.2.{n}"), false).unwrap())
        .collect();
    for (line, _) in &all {
        line.set(Doing::Busy);
    }
    assert_eq!(world.come("192.0.2.9", false).err(), Some(Refusal::Crowded));
    all[2].0.set(Doing::Idle);
    assert!(world.come("192.0.2.9", false).is_ok());
    assert_eq!(all[2].0.doing(), Doing::Ended);
    assert!(all.iter().filter(|(line, _)| line.doing() == Doing::Busy).count() == 3);
}

#[tokio::test]
async fn room_is_made_by_slow_heads_then_by_those_who_waited_longest() {
    let mut world = World::new();
    let old = world.come("192.0.2.1", false).unwrap();
    old.0.set(Doing::Idle);
    world.ticks(1);
    let young = world.come("192.0.2.2", false).unwrap();
    young.0.set(Doing::Idle);
    let slow = world.come("192.0.2.3", false).unwrap();
    world.ticks(5);
    let busy = world.come("192.0.2.4", false).unwrap();
    busy.0.set(Doing::Busy);
    let mut newcomers = Vec::new();
    for expected in [&slow, &old, &young] {
        assert_ne!(expected.0.doing(), Doing::Ended);
        let newcomer = world.come("192.0.2.5", true).unwrap();
        newcomer.0.set(Doing::Busy);
        assert_eq!(expected.0.doing(), Doing::Ended);
        newcomers.push(newcomer);
    }
}

#[tokio::test]
async fn an_address_makes_room_among_its_own_unless_it_is_a_proxy() {
    let mut world = World::new();
    let other = world.come("192.0.2.200", false).unwrap();
    // One owner of IPv6 addresses has a whole network of them.
    let own: Vec<_> = (1..=3)
        .map(|n| world.come(&format!("2001:db8::{n}"), false).unwrap())
        .collect();
    own[0].0.set(Doing::Busy);
    own[1].0.set(Doing::Busy);
    assert!(world.come("2001:db8::9", false).is_ok());
    assert_eq!(own[2].0.doing(), Doing::Ended);
    assert_eq!(other.0.doing(), Doing::New);
    let third = world.come("2001:db8::9", false).unwrap();
    third.0.set(Doing::Busy);
    assert_eq!(
        world.come("2001:db8::a", false).err(),
        Some(Refusal::CrowdedAddress)
    );
    assert!(world.come("2001:db8::a", true).is_ok());
}

#[tokio::test]
async fn heads_and_rest_have_their_time_and_work_has_all_of_it() {
    let mut world = World::new();
    let lines: Vec<_> = [Doing::New, Doing::Head, Doing::Idle, Doing::Busy]
        .into_iter()
        .enumerate()
        .map(|(n, doing)| {
            let (line, seat) = world.come(&format!("192.0.2.{n}"), false).unwrap();
            line.set(doing);
            (line, seat)
        })
        .collect();
    let ended = || {
        lines
            .iter()
            .map(|(line, _)| line.doing() == Doing::Ended)
            .collect::<Vec<_>>()
    };
    world.ticks(8);
    assert_eq!(ended(), [false; 4]);
    world.ticks(1);
    assert_eq!(ended(), [true, true, false, false]);
    world.ticks(8);
    assert_eq!(ended(), [true, true, true, false]);
    world.ticks(1000);
    assert_eq!(lines[3].0.doing(), Doing::Busy);
}

#[tokio::test]
async fn places_are_given_back_once() {
    let mut world = World::new();
    for _ in 0..100 {
        let (line, seat) = world.come("192.0.2.1", false).unwrap();
        line.set(Doing::Busy);
        drop(seat);
    }
    let lines = world.crowd.lines.lock();
    assert!(lines.all.is_empty() && lines.addresses.is_empty());
}
