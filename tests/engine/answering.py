"""What the tests of `ray_asking` ask: it answers, fails or keeps silent, as the word that it is given says."""

import os
import sys
import time

match sys.argv[1]:
    case "answer":
        print("connecting …")  # noqa: T201
        print(os.environ["ANSWER"])  # noqa: T201
    case "fail":
        raise ValueError("no such cluster")
    case "vanish":
        os._exit(3)
    case "hang":
        time.sleep(600)
