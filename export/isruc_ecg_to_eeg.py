"""ISRUC ECG→EEG, from weights to a bundle, without training.

Sleep and wake, known of one ECG lead (HuBERT-ECG), told from six electrodes (LaBraM).

    python export/isruc_ecg_to_eeg.py --out DIR --random    # random weights of full size

Without --random, name the files: --source and --target (checkpoints), --bridge and --head (what was
trained between them), and with --recording what golden windows are cut from.

Source: LaBraM base: github.com/935963004/LaBraM, labram-base.pth (MIT)
Target: HuBERT-ECG small: huggingface.co/Edoardo-BS/HuBERT-ECG-SSL-Pretrained (CC BY-NC 4.0)
"""

from pathlib import Path

from bioxedge.building.shelf import main

# Models, cuts, windows, the bridge's shape, live sensor, labels and licences.
RECIPE = Path(__file__).parent / "recipes" / "isruc_ecg_to_eeg.toml"
# A bundle is for the sensor that is worn; the recipe has the rates of the published recordings.
LIVE = ("source.sensor.rate=125.0", 'source.sensor.board="cyton_daisy"')

if __name__ == "__main__":
    main(RECIPE, changes=LIVE)
