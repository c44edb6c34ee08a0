"""lit's format for the two parts of the texts: those that are quick, and those that say `REQUIRES: slow`."""
import lit.formats


class Part(lit.formats.ShTest):
    """The texts of one part, or all where `part` is not given."""

    def __init__(self, part):
        super().__init__(execute_external=False)
        self.part = part

    def getTestsInDirectory(self, *place):
        for test in super().getTestsInDirectory(*place):
            with open(test.getSourcePath(), encoding="utf-8") as text:
                slow = any(line.startswith("REQUIRES:") and "slow" in line for line in text)
            if self.part == "all" or slow == (self.part == "slow"):
                yield test
