"""The address of status tests in Piped 0.7: `from piped.plugins.status_testing import statustest, processors`."""

from piped_status_testing import processors as processors
from piped_status_testing import reporters as reporters
from piped_status_testing import statustest as statustest
