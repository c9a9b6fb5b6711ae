"""FOG EMG→EEG, from weights to a bundle, without training.

Freezing of gait, known of three muscles (NormWear), told from six electrodes (LaBraM).

    python export/fog_emg_to_eeg.py --out DIR --random    # random weights of full size

Without --random, name the files: --source and --target (checkpoints), --bridge and --head (what was
trained between them), and with --recording what golden windows are cut from.

Source: LaBraM base: github.com/935963004/LaBraM, labram-base.pth (MIT)
Target: NormWear: its authors' release v1.0.0-alpha (Apache-2.0)
"""

from pathlib import Path

from bioxedge.building.shelf import main

# Models, cuts, windows, the bridge's shape, live sensor, labels and licences.
RECIPE = Path(__file__).parent / "recipes" / "fog_emg_to_eeg.toml"
# A bundle is for the sensor that is worn; the recipe has the rates of the published recordings.
LIVE = ("source.sensor.rate=125.0", 'source.sensor.board="cyton_daisy"')

if __name__ == "__main__":
    main(RECIPE, changes=LIVE)
