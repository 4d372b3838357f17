"""Who decides the order: strategies, workflows and the facade."""
