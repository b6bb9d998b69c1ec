"""Pictures in folders by class: labels of whole pictures, told from data with boxes and counted."""
