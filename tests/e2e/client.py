"""One person's app in a call: a real LiveKit client, told what to do by lines of JSON and telling what it sees by others.

Orders, one a line, carried out in order:
    {"do": "join", "url": ..., "token": ...}    enters a room
    {"do": "publish", "hz": 440}                plays a tone into the room until it leaves
    {"do": "leave"}                             leaves the room on purpose, as after a hang-up

What it tells, each with "at", the seconds since the epoch:
    joined, refused (why), left                 what became of an order
    hears (of, hz), silence (of)                the loudest tone in what comes from another, and its end
    came (who), went (who, reason)              others in the room
    reconnecting, reconnected                   its own connection
    token (token)                               the server gave it a fresh token
    disconnected (reason)                       it is out, by LiveKit's word

It ends when its input does, and so with the test that started it.
"""

import asyncio
import json
import sys
import time

import numpy
from livekit import rtc

RATE = 48_000
# How much sound is looked at together: tones 4 Hz apart can be told from each other.
WINDOW = RATE // 4
# Of full volume; Opus makes something of silence too.
LOUD = 0.05
# How far a tone may be from what it was and still be the same one: a sound with a gap in it has a blurred pitch.
SAME_HZ = 15
# How long nothing must be heard to be told of as silence: on a busy machine sound comes with gaps.
GAP = 2


def tell(event, **more):
    print(json.dumps({"event": event, "at": time.time(), **more}), flush=True)


def name_of(reason):
    return rtc.DisconnectReason.Name(reason or 0)


async def play(source, hz):
    """Plays a tone for ever; the source takes it no faster than it can be heard."""
    step = RATE // 50
    at = 0
    while True:
        wave = numpy.sin(2 * numpy.pi * hz * numpy.arange(at, at + step) / RATE)
        frame = rtc.AudioFrame((wave * 0.5 * 32767).astype(numpy.int16).tobytes(), RATE, 1, step)
        await source.capture_frame(frame)
        at += step


async def listen(track, speaker):
    """Tells of each tone that comes, once, and of its end."""
    heard, silent = None, 0
    async for window in windows(rtc.AudioStream(track, sample_rate=RATE, num_channels=1)):
        hz = loudest(window)
        silent = 0 if hz else silent + 1
        if hz and (heard is None or abs(hz - heard) > SAME_HZ):
            heard = hz
            tell("hears", of=speaker, hz=hz)
        elif heard and silent == GAP:
            heard = None
            tell("silence", of=speaker)
    if heard:
        tell("silence", of=speaker)


async def windows(stream):
    """The samples of a stream, so many at a time."""
    samples = numpy.empty(0, numpy.int16)
    async for event in stream:
        samples = numpy.append(samples, numpy.frombuffer(event.frame.data, numpy.int16))
        if len(samples) >= WINDOW:
            yield samples
            samples = samples[:0]


def loudest(samples):
    """The frequency in Hz that most of the sound is at, or None if there is no sound or no tone in it."""
    waves = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples)))) ** 2
    at = int(waves.argmax())
    loud = numpy.sqrt(numpy.mean(numpy.square(samples / 32767.0))) > LOUD
    clear = waves[max(at - 4, 0) : at + 5].sum() > 0.8 * waves.sum()
    return round(at * RATE / len(samples)) if loud and clear else None


class App:
    def __init__(self):
        self.room = None
        self.tasks = set()

    def begin(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def join(self, url, token):
        room = self.room = rtc.Room()
        room.on("track_subscribed", lambda track, _, who: self.begin(listen(track, who.identity)))
        room.on("participant_connected", lambda who: tell("came", who=who.identity))
        room.on("participant_disconnected",
                lambda who: tell("went", who=who.identity, reason=name_of(who.disconnect_reason)))
        room.on("reconnecting", lambda: tell("reconnecting"))
        room.on("reconnected", lambda: tell("reconnected"))
        room.on("token_refreshed", lambda: tell("token", token=room._token))
        room.on("disconnected", lambda reason: tell("disconnected", reason=name_of(reason)))
        try:
            await room.connect(url, token)
        except rtc.ConnectError as error:
            tell("refused", why=str(error))
        else:
            tell("joined")

    async def publish(self, hz):
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, microphone)
        self.begin(play(source, hz))

    async def leave(self):
        await self.room.disconnect()
        tell("left")


async def main():
    app = App()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        await getattr(app, order.pop("do"))(**order)


if __name__ == "__main__":
    asyncio.run(main())
