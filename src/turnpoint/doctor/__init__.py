"""The data doctor: what a data set holds, and what is wrong with it, ranked, with rows and how to mend it."""

from turnpoint.doctor.examine import examine as examine
from turnpoint.doctor.finding import Finding as Finding
from turnpoint.doctor.finding import Severity as Severity
from turnpoint.doctor.overview import Overview as Overview
from turnpoint.doctor.overview import overview as overview
from turnpoint.doctor.repetition import Held as Held
from turnpoint.doctor.repetition import held as held
from turnpoint.doctor.sides import judge as judge
from turnpoint.doctor.tokens import Row as Row
from turnpoint.doctor.tokens import rows_of as rows_of
