"""Pure decisions: values in, plans or refusals out; nothing here touches the world."""
