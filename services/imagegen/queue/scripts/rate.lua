-- Promise: the rate that admission and estimates use, in pixel-steps per second.
return tostring((speed()))
