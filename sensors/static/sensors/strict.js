// The content policy of the pages lets no style and no code through that a script makes of text.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
