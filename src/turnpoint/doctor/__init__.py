"""The data doctor: what is wrong with a data set, ranked, with rows and how to mend it."""

from turnpoint.doctor.examine import examine as examine
from turnpoint.doctor.finding import Finding as Finding
from turnpoint.doctor.finding import Severity as Severity
from turnpoint.doctor.tokens import Row as Row
from turnpoint.doctor.tokens import rows_of as rows_of
