"""ECG of a Polar H10 over Bluetooth into a bundle: ``python polar_h10.py BUNDLE [ADDRESS]``.

Needs ``pip install bleak``. No H10 was at hand when this was written: frames in the published
format are tested through :class:`Receiver` to predictions, the radio is not.
"""

from __future__ import annotations

import asyncio
import sys
import threading

from bioxedge import Bundle, Stream
from bioxedge.errors import BioxedgeError, SignalError
from bioxedge.runtime import PushSource, TerminalSink, run
from bioxedge.runtime.sources import polar


class Receiver:
    """Takes notifications into a source."""

    def __init__(self, source: PushSource) -> None:
        self.source = source
        self.ignored: dict[str, int] = {}

    def __call__(self, sender: object, frame: bytearray) -> None:
        """Take one notification: what bleak's ``start_notify`` calls."""
        try:
            ecg = polar.decode(frame)
            if isinstance(ecg, polar.Ecg):
                self.source.push(ecg.samples, stamps=ecg.stamp)
                return
            why = ecg.reason
        except SignalError as error:
            why = str(error)
        if why not in self.ignored and len(self.ignored) < 20:
            self.ignored[why] = 0
            print(f"left out: {why}", file=sys.stderr)


async def receive(source: PushSource, address: str | None, stop: threading.Event) -> None:
    """Connect, start the ECG and pass it on until told to stop, or the sensor is gone."""
    from bleak import BleakClient, BleakScanner

    found = await BleakScanner.find_device_by_filter(
        lambda device, _: (
            device.address == address if address else (device.name or "").startswith("Polar H10")
        ),
        timeout=20.0,
    )
    if found is None:
        raise BioxedgeError("no Polar H10 within 20 s: wear it, and end other apps that hold it")
    async with BleakClient(found) as client:
        await client.start_notify(polar.DATA, Receiver(source))
        await client.write_gatt_char(polar.CONTROL, polar.START_ECG, response=True)
        while client.is_connected and not stop.is_set():
            await asyncio.sleep(0.2)
        if client.is_connected:
            await client.write_gatt_char(polar.CONTROL, polar.STOP_ECG, response=True)


def main(arguments: list[str]) -> int:
    """Run a bundle on an H10 until Ctrl-C."""
    try:
        import bleak
    except ImportError:
        print("error: bleak is not installed: pip install bleak", file=sys.stderr)
        return 2
    if not 1 <= len(arguments) <= 2:
        print("error: usage: polar_h10.py BUNDLE [ADDRESS]", file=sys.stderr)
        return 2
    failed: list[str] = []
    stop = threading.Event()
    try:
        stream = Stream(Bundle.open(arguments[0]))
        channels = stream.bundle.manifest.input.names
        if len(channels) != 1:
            raise SignalError(f"the bundle asks for {len(channels)} channels: an H10 has one")
        source = PushSource(channels, polar.RATE, ["uV"], name="Polar H10")

        def radio() -> None:
            try:
                asyncio.run(receive(source, (arguments[1:] or [None])[0], stop))
            except (BioxedgeError, bleak.exc.BleakError, OSError, TimeoutError) as error:
                failed.append(" ".join(str(error).split()))
            finally:
                source.end()

        thread = threading.Thread(target=radio, name="radio")
        source.start()
        thread.start()
        try:
            run(source, stream, [TerminalSink()])
        finally:
            stop.set()
            source.close()
            thread.join()
    except BioxedgeError as error:
        failed.append(str(error))
    except KeyboardInterrupt:
        pass
    for line in failed[:1]:
        print(f"error: {line}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
